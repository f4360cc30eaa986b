"""What a copied course takes along: quizzes, assignments, rules."""
