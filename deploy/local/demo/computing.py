"""Four courses on computing."""

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

CATEGORY = {"name": "Computing", "slug": "computing", "description": "Programs, data, and machines."}

PYTHON = DemoCourse(
    {
        "title": "Python from the first line",
        "short_description": "Write small programs that do useful things.",
        "description": "From the first print to a program that reads a file and answers a question about it. "
        "No experience is needed; every lesson ends with something that runs.",
        "learning_outcomes": "Read and write Python\nChoose between lists and dictionaries\nTest a function",
        "level": "beginner",
        "language": "en",
        "duration_hours": 12,
        "tags": ["python", "programming", "beginners"],
        "is_featured": True,
    },
    "computing",
    "teacher",
    {
        "First steps": [
            video("Why programs", 7, is_preview=True),
            text(
                "Names and values",
                10,
                "A name points to a value: `price = 12`. Assign again, and the name "
                "points elsewhere; the value stays what it was.",
            ),
            interactive("Try it: a till", 15, "Change the prices and watch the total."),
        ],
        "Collections": [
            text(
                "Lists and dictionaries",
                14,
                "A **list** keeps order, a **dictionary** finds by key. Ask "
                "yourself what you will look for, and choose by that.",
            ),
            pdf("Cheat sheet: collections", 5, "Lists: append, pop, sort. Dictionaries: get, items, in."),
            quiz(
                "Which collection?",
                one(
                    "You look people up by e-mail. What fits?",
                    "a dictionary",
                    "a list",
                    "a tuple",
                    why="It finds by key without reading all.",
                ),
                holds("A list may hold values of different types.", so=True),
                number("What is len([3, [4, 5], 6])?", 3),
                word("Which method adds one value to the end of a list?", "append", "append()"),
            ),
        ],
        "Functions and tests": [
            slides("What a function promises", 9, "It takes arguments", "It returns a value", "It says so"),
            video("Testing by hand and by machine", 11),
            assignment(
                "Count the words",
                60,
                "Write a function that counts how often each word of a text "
                "occurs. Hand in the function and two tests.",
            ),
        ],
    },
    quality=4.6,
    draw=2.2,
    asked=[
        (
            "Why does my list change in both places?",
            "Both names point to one list. Copy it first: `other = list(first)`.",
        ),
        ("Tabs or spaces?", "Spaces, four of them; your editor can do that for you."),
    ],
)

DATABASES = DemoCourse(
    {
        "title": "Databases that answer",
        "short_description": "Tables, joins, indexes and transactions, by asking questions.",
        "description": "You get a small library's database and questions from its readers. To answer them "
        "you learn to join, group, index, and to keep two clerks from lending one book twice.",
        "learning_outcomes": "Write joins and groups\nRead a query plan\nExplain what a transaction promises",
        "level": "intermediate",
        "language": "en",
        "duration_hours": 18,
        "tags": ["sql", "databases", "data"],
    },
    "computing",
    "teacher2",
    {
        "Asking": [
            video("A library in four tables", 8, is_preview=True),
            text("Joins", 15, "A join pairs rows whose columns agree. Draw the pairs before you write them."),
            quiz(
                "Joins and groups",
                one(
                    "Which join keeps readers who borrowed nothing?", "left join", "inner join", "cross join"
                ),
                many(
                    "What may stand beside an aggregate in the select list?",
                    ["columns of the group by", "another aggregate"],
                    ["any column of the table"],
                ),
                word("Which clause filters groups?", "having"),
            ),
        ],
        "Fast and safe": [
            slides("What an index costs", 10, "Reads get faster", "Writes get slower", "Look at the plan"),
            text("Transactions", 12, "All of it or nothing, and as if nobody else were there."),
            quiz(
                "A transaction's life",
                ordered("Put them in order.", "begin", "lock the row", "change the row", "commit"),
                holds("What is not committed survives a crash.", so=False),
            ),
            assignment(
                "The most wanted book",
                45,
                "Write the query that finds the book with the longest "
                "queue, and say which index helps it. Add the plan before and after.",
            ),
        ],
        "Looking back": [
            pdf("Ten questions for the exam", 10, "Answer them aloud, then look them up."),
            interactive("Play: two clerks, one book", 12, "Move the statements until nothing goes wrong."),
        ],
    },
    quality=4.4,
    draw=1.4,
    asked=[
        (
            "When is an index not used?",
            "When most rows match anyway, or when the column is wrapped in a function.",
        )
    ],
)

WEB = DemoCourse(
    {
        "title": "How the web works",
        "short_description": "From the address bar to the pixels.",
        "description": "What happens between pressing enter and seeing a page: names, connections, requests, "
        "caches, markup and style. You build one page and serve it yourself.",
        "learning_outcomes": "Explain a request\nWrite accessible markup\nFind out why a page is slow",
        "level": "beginner",
        "language": "en",
        "duration_hours": 9,
        "tags": ["web", "http", "html"],
    },
    "computing",
    "teacher",
    {
        "The wire": [
            video("One request, step by step", 9, is_preview=True),
            text("Names and addresses", 9, "DNS turns a name into an address, and remembers it for a while."),
            slides("Methods and status codes", 8, "GET asks", "POST changes", "4xx is you, 5xx is us"),
            quiz(
                "Status codes",
                match("Which says what?", {"404": "not found", "301": "moved", "429": "too many requests"}),
                number("Which status says that all went well?", 200),
                holds("A GET may delete things.", so=False, why="Caches and crawlers repeat it at will."),
            ),
        ],
        "The page": [
            text("Markup that says what it means", 12, "A heading is a heading and not large text."),
            interactive("Listen to a page", 10, "Turn the screen off and find the button."),
            assignment(
                "A page about your street",
                50,
                "One page, valid and readable without style. Hand in "
                "its source and what a screen reader says.",
            ),
            pdf("Checklist: accessible pages", 4, "Text for pictures. Labels for fields. Enough contrast."),
        ],
    },
    quality=4.1,
    draw=1.6,
    asked=[
        (
            "Is HTTP/3 another protocol?",
            "The same requests over QUIC: one lost packet no longer holds up all the others.",
        )
    ],
)

LEARNING_MACHINES = DemoCourse(
    {
        "title": "Machine learning without magic",
        "short_description": "Models, data and honest evaluation.",
        "description": "Linear models, trees and small networks, fitted by hand first and by library after. "
        "Most of the time goes where it goes in practice: into the data, and into measuring honestly.",
        "learning_outcomes": "Split data honestly\nFit and compare models\nSay what a model cannot know",
        "prerequisites": "Some Python, and averages without fear.",
        "level": "advanced",
        "language": "en",
        "duration_hours": 26,
        "tags": ["python", "data", "models"],
    },
    "computing",
    "tutor3",
    {
        "Data first": [
            video("What a model is", 10, is_preview=True),
            text("Training, validation, test", 14, "What you chose by is no longer a test. Lock it away."),
            pdf("The data sheet", 6, "Who collected it, when, for what, and who is missing?"),
        ],
        "Models": [
            slides("From lines to trees", 12, "A line has two numbers", "A tree asks", "Both overfit"),
            interactive("Fit a line by hand", 15, "Drag the line until the squares are smallest."),
            quiz(
                "Fitting",
                one(
                    "Training error falls, validation error rises. What is it?",
                    "overfitting",
                    "underfitting",
                    "a lucky split",
                ),
                many("What helps against it?", ["more data", "a simpler model"], ["longer training"]),
                number("Precision with 8 right among 10 found, in percent?", 80, 0.5),
            ),
            assignment(
                "Predict the queue",
                90,
                "Predict tomorrow's waiting time from last year's. Compare "
                "with the simplest guess, and say when yours is worse.",
                40,
            ),
        ],
    },
    quality=4.7,
    draw=0.9,
    asked=[
        (
            "My model is right in 99 % of cases. Is it good?",
            "Look at how rare the other class is: always saying no may be right in 99 %, too.",
        )
    ],
)

COURSES = [PYTHON, DATABASES, WEB, LEARNING_MACHINES]
