"""Four courses on mathematics."""

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

CATEGORY = {"name": "Mathematics", "slug": "mathematics", "description": "Numbers, shapes and proofs."}

GRAPHS = DemoCourse(
    {
        "title": "Graphs from bridges to maps",
        "short_description": "Walks, trees and colourings, with proofs that fit on a napkin.",
        "description": "Seven bridges, a salesman and a map with four colours. You learn to draw a problem "
        "as vertices and edges, and to prove what the drawing shows.",
        "learning_outcomes": "Model with graphs\nProve by induction\nColour a map",
        "level": "beginner",
        "language": "en",
        "duration_hours": 8,
        "tags": ["graphs", "proofs", "discrete"],
    },
    "mathematics",
    "teacher2",
    {
        "Walks": [
            video("Seven bridges", 8, is_preview=True),
            text("Degrees", 9, "Every edge has two ends, so the degrees add up to an even number."),
            interactive("Draw without lifting the pen", 10, "Which of these houses can be drawn?"),
        ],
        "Trees and colours": [
            text("Trees", 10, "Connected and without a cycle: one edge less than vertices."),
            quiz(
                "Trees and their colours",
                number("How many edges has a tree with 12 vertices?", 11),
                holds("Every tree has two colours.", so=True, why="Colour by the distance from a root."),
                match("Which is which?", {"tree": "no cycle", "complete graph": "all edges"}),
            ),
            slides("Four colours", 9, "Maps are planar graphs", "Five are easy", "Four took a computer"),
            assignment(
                "Colour your region",
                40,
                "Draw the districts of your region as a graph and colour it "
                "with as few colours as you can. Say why fewer do not suffice.",
            ),
            pdf("Napkin proofs", 6, "Handshakes. Trees. Two colours."),
        ],
    },
    quality=4.5,
    draw=1.1,
    asked=[("Is a single vertex a tree?", "Yes: it is connected, and it has no cycle.")],
)

STATISTICS = DemoCourse(
    {
        "title": "Statistics for the newspaper",
        "short_description": "Read numbers critically, and write them honestly.",
        "description": "Averages that hide, charts that exaggerate, polls that miss. Each lesson begins with "
        "a headline and ends with what may be said.",
        "learning_outcomes": "Choose an average\nRead a margin of error\nTell chance from cause",
        "level": "beginner",
        "language": "en",
        "duration_hours": 10,
        "tags": ["statistics", "data", "media"],
        "is_featured": True,
    },
    "mathematics",
    "tutor3",
    {
        "Averages and charts": [
            video("The average that nobody earns", 9, is_preview=True),
            text("Mean and median", 8, "One rich guest moves the mean of the room, and not the median."),
            quiz(
                "Averages",
                number("The median of 1, 2, 2, 3, 92?", 2),
                one("What describes incomes better?", "the median", "the mean", "the maximum"),
                holds("A chart's axis may begin anywhere without misleading.", so=False),
            ),
            interactive("Bend the axis", 8, "Make the same numbers look calm, then alarming."),
        ],
        "Chance": [
            slides("Polls", 10, "Who was asked?", "How many?", "Who did not answer?"),
            text(
                "Cause and coincidence", 12, "Ice cream and drownings rise together; neither makes the other."
            ),
            pdf("Questions for any number", 3, "Of what? Compared with what? Who says so?"),
            assignment(
                "Mend a headline",
                35,
                "Find a headline with a number in it. Write what the source "
                "allows one to say, in the same length.",
            ),
        ],
    },
    quality=4.8,
    draw=1.8,
    asked=[
        (
            "What does the margin of error cover?",
            "Chance alone. Who was not reached, or did not answer, is not in it.",
        )
    ],
)

CALCULUS = DemoCourse(
    {
        "title": "Calculus with pictures",
        "short_description": "Change and accumulation, drawn before they are computed.",
        "description": "The derivative as a slope one can see, the integral as an area one can fill, and the "
        "theorem that makes them one. Formulas come after the picture, and stay fewer.",
        "learning_outcomes": "Sketch a derivative\nEstimate an integral\nUse the fundamental theorem",
        "level": "intermediate",
        "language": "en",
        "duration_hours": 20,
        "tags": ["calculus", "functions"],
    },
    "mathematics",
    "tutor4",
    {
        "Slopes": [
            video("Zooming in", 10, is_preview=True),
            text(
                "What a derivative is",
                14,
                "Zoom in on a smooth curve until it looks straight. Its slope is the derivative there.",
            ),
            interactive("Sketch the slope", 12, "Draw the derivative under the curve; the program checks."),
            quiz(
                "Slopes",
                number("The slope of x squared at 3?", 6),
                holds(
                    "Where a function is largest inside an interval, its slope is zero, if it has one.",
                    so=True,
                ),
                word("What is the derivative of the sine?", "cosine", "cos", "cos x"),
            ),
        ],
        "Areas": [
            slides("Adding thin strips", 11, "Thinner strips, better sums", "The limit is the integral"),
            text("The theorem", 13, "The area grows at the rate of its edge: so the two undo each other."),
            assignment(
                "How far did it go?",
                45,
                "From a train's speed every minute, estimate the way it went and bound your error.",
            ),
            pdf("Formulas worth knowing", 4, "Powers. Sine and cosine. Product. Chain."),
        ],
        "Check": [
            quiz(
                "Final check",
                one("The integral of 2x from 0 to 3?", "9", "6", "3"),
                ordered(
                    "From the idea to the number:",
                    "draw the area",
                    "cut it into strips",
                    "add them up",
                    "let them become thin",
                ),
                kind="final",
                pass_mark=60,
            ),
        ],
    },
    quality=4.0,
    draw=0.8,
    asked=[
        ("Why may one cancel dx?", "One may not, quite: it is the chain rule that makes it come out right.")
    ],
)

LOGIC = DemoCourse(
    {
        "title": "Logic in everyday arguments",
        "short_description": "Take arguments apart, and put better ones together.",
        "description": "And, or, if, not, all and some, in contracts, recipes and debates. You learn to find "
        "what an argument assumes and where it breaks.",
        "learning_outcomes": "Write truth tables\nSpot common fallacies\nNegate a statement correctly",
        "level": "beginner",
        "language": "en",
        "duration_hours": 6,
        "tags": ["logic", "proofs", "arguments"],
    },
    "mathematics",
    "tutor4",
    {
        "Small words": [
            video("If it rains", 6, is_preview=True),
            text("Truth tables", 9, "Two statements, four cases: write them all down, then look."),
            interactive("The four cards", 8, "Turn as few as you need to check the rule."),
            quiz(
                "If and only if",
                one(
                    "What denies ‘all swans are white’?",
                    "some swan is not white",
                    "no swan is white",
                    "all swans are black",
                ),
                holds("A false premise makes any implication true.", so=True),
            ),
        ],
        "Arguments": [
            slides("Five fallacies", 9, "Straw man", "Slippery slope", "Circle", "Authority", "Two wrongs"),
            text("What is assumed", 10, "Write down what must also be true for the conclusion."),
            assignment(
                "Take a speech apart",
                40,
                "Choose a minute of a speech. List premises, conclusion and what is left unsaid.",
            ),
            pdf("A page of fallacies", 4, "With an example of each."),
            quiz(
                "Fallacies",
                many("Which of these are fallacies?", ["straw man", "circular reasoning"], ["modus ponens"]),
                word("What is ‘if p then q, p, so q’ called?", "modus ponens"),
                kind="practice",
            ),
        ],
    },
    quality=4.2,
    draw=0.9,
    asked=[("Is ‘or’ exclusive?", "In logic never; in a restaurant nearly always.")],
)

COURSES = [GRAPHS, STATISTICS, CALCULUS, LOGIC]
