"""Four courses on language, society and the living world."""

from deploy.local.demo.parts import (
    DemoCourse,
    assignment,
    holds,
    interactive,
    many,
    match,
    number,
    one,
    ordered,
    pdf,
    quiz,
    slides,
    text,
    video,
    word,
)

CATEGORY = {
    "name": "People and planet",
    "slug": "people-and-planet",
    "description": "Language, work and the living world.",
}

WRITING = DemoCourse(
    {
        "title": "Writing that gets read",
        "short_description": "Short, clear texts for people who have little time.",
        "description": "Reports, messages and instructions. You cut other people's texts first, then your "
        "own, and get feedback on every one that you hand in.",
        "learning_outcomes": "Put the point first\nCut a text by half\nGive feedback that helps",
        "level": "beginner",
        "language": "en",
        "duration_hours": 7,
        "tags": ["writing", "language", "work"],
    },
    "people-and-planet",
    "tutor3",
    {
        "The reader": [
            video("Who reads this?", 6, is_preview=True),
            text("The point first", 8, "Say what you want in the first line. Reasons come after."),
            interactive("Cut it by half", 15, "Strike words until it hurts; then strike one more."),
        ],
        "The sentence": [
            slides("Verbs do the work", 8, "Who does what", "One thought a sentence", "No noun without need"),
            quiz(
                "Shorter",
                one(
                    "Which is clearest?",
                    "We decided.",
                    "A decision was taken.",
                    "It came to the taking of a decision.",
                ),
                holds("The passive is always wrong.", so=False, why="Not where nobody cares who did it."),
                many("What may go?", ["‘in order’ in ‘in order to’", "‘very’"], ["the verb"]),
            ),
            assignment("A message of five lines", 30, "Ask a busy person for something. Five lines at most."),
            pdf("Words to strike", 3, "Basically. Actually. In terms of."),
        ],
    },
    quality=4.5,
    draw=1.3,
    asked=[("How long should a paragraph be?", "As long as its one thought, which is seldom ten lines.")],
)

PROJECTS = DemoCourse(
    {
        "title": "Projects that end",
        "short_description": "Plan a little, ship early, learn from it.",
        "description": "A project of your own, from the first sketch to the last handshake: scope, people, "
        "estimates, risks, and what to do when all of them turn out wrong.",
        "learning_outcomes": "Cut scope\nEstimate with ranges\nHold a short meeting",
        "level": "intermediate",
        "language": "en",
        "duration_hours": 11,
        "tags": ["work", "planning", "teams"],
    },
    "people-and-planet",
    "teacher",
    {
        "Begin": [
            video("What done means", 7, is_preview=True),
            text("Scope", 9, "Write what it will not do. That list saves more time than the other."),
            quiz(
                "Begin",
                ordered(
                    "In which order?", "say what done means", "cut the scope", "estimate", "promise a date"
                ),
                one("An estimate is …", "a range", "a promise", "a target"),
            ),
        ],
        "Go on": [
            slides("Risks", 9, "What could happen", "How we would notice", "What we would do"),
            interactive("A week in the life", 14, "Twelve messages, one hour: what do you answer?"),
            assignment(
                "One page of plan", 50, "Your project on one page: done, not done, risks, first date."
            ),
            pdf("Agenda for fifteen minutes", 2, "What was done. What is stuck. Who helps."),
        ],
        "End": [
            text("Looking back", 8, "Ask what surprised you. Change one thing, not ten."),
            quiz(
                "How was it?",
                holds("Blame makes people tell more.", so=False),
                number("A task has a range of 2 to 8 days. Its middle?", 5),
                kind="survey",
            ),
        ],
    },
    quality=3.9,
    draw=1.0,
    asked=[("What if the date is fixed?", "Then the scope is what moves. Say so on the first day.")],
)

CLIMATE = DemoCourse(
    {
        "title": "Climate in numbers",
        "short_description": "Energy in, energy out, and what changed.",
        "description": "A physicist's envelope, a chemist's cycle and an economist's table. You estimate "
        "before you look up, and learn which of the numbers matter.",
        "learning_outcomes": "Estimate the energy balance\nRead an emissions table\nCompare measures",
        "level": "intermediate",
        "language": "en",
        "duration_hours": 14,
        "tags": ["climate", "science", "data"],
        "is_featured": True,
    },
    "people-and-planet",
    "tutor4",
    {
        "The balance": [
            video("A planet on an envelope", 11, is_preview=True),
            text(
                "In and out", 12, "What comes in as light goes out as warmth; a blanket changes the warmth."
            ),
            interactive("Turn the knobs", 12, "Change sun, ice and air; read the temperature."),
            quiz(
                "The balance",
                one("What warms the ground?", "visible light", "ultraviolet light", "sound"),
                number("How many degrees Celsius would it be without an atmosphere?", -18, 3),
                match("Gas and where from", {"methane": "cattle", "carbon dioxide": "coal"}),
            ),
        ],
        "What to do": [
            slides("Where it comes from", 12, "Power", "Industry", "Ground", "Transport", "Buildings"),
            pdf("Units", 3, "Tonnes, kilowatt hours, degrees: how they belong together."),
            assignment(
                "One street's plan",
                70,
                "What could your street save in five years? Numbers first, in "
                "a table, with a range for each.",
                30,
            ),
        ],
    },
    quality=4.6,
    draw=1.5,
    asked=[("Does one cold winter disprove it?", "No: weather is one throw, climate is the die.")],
)

FOOD = DemoCourse(
    {
        "title": "The science of cooking",
        "short_description": "Heat, salt, acid and time, explained and tasted.",
        "description": "Why bread rises, why onions brown, why mayonnaise holds. An experiment in your own "
        "kitchen in every module, and dinner afterwards.",
        "learning_outcomes": "Control browning\nRescue an emulsion\nScale a recipe",
        "level": "beginner",
        "language": "en",
        "duration_hours": 6,
        "tags": ["food", "science", "experiments"],
    },
    "people-and-planet",
    "teacher2",
    {
        "Heat": [
            video("Why things brown", 8, is_preview=True),
            text(
                "Water is in the way", 7, "Nothing browns before the water is gone: dry it, do not crowd it."
            ),
            quiz(
                "Heat",
                number("At how many degrees Celsius does water boil at the sea?", 100),
                holds("Salt makes water boil much sooner.", so=False),
                one("What browns meat?", "amino acids and sugars", "salt", "starch alone"),
            ),
        ],
        "Mixtures": [
            slides("Emulsions", 7, "Oil in water", "Who holds them together", "Drop by drop"),
            interactive("Rescue the mayonnaise", 6, "Choose what to add, and when."),
            assignment(
                "An experiment for dinner",
                60,
                "Cook one dish twice, changing one thing. Describe what you saw and tasted.",
            ),
            pdf("Temperatures on one page", 2, "Eggs, meat, bread, sugar."),
            quiz(
                "Mixtures",
                word("What in the yolk holds oil and water together?", "lecithin"),
                many("What are emulsions?", ["milk", "mayonnaise"], ["sugar water"]),
                kind="practice",
            ),
            text("A recipe is a ratio", 6, "Weigh. Then any amount is a multiplication."),
            quiz("Bread", ordered("What comes first?", "mix", "let rise", "shape", "bake")),
        ],
    },
    quality=4.3,
    draw=1.2,
    asked=[
        ("My bread does not rise. Why?", "Is the yeast alive? Test it with warm water and a little sugar.")
    ],
)

COURSES = [WRITING, PROJECTS, CLIMATE, FOOD]
