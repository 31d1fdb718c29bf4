"""A public library: books, readers and what they want at the desk."""

from task_suites.embedded.generator import Family, Lexicon, classify, extract, phrases

LEXICON: Lexicon = {
    "reader": phrases(
        """{Edna|Colin|Farah|Joel|Sylvie|Marcus|Hilda|Tariq|Bea|Norman} {Platt|Quinn|Rivers|Stone|Tully|Usher}
        a {retired judge|nurse|student|bus driver|plumber|poet} / the {reading club|vicar|new trainee}"""
    ),
    "clerk": phrases(
        "{Ms|Mr|Mrs} {Archer|Booker|Dewey|Fielding|Leaf|Paige} / the {librarian|clerk at the desk|assistant}"
    ),
    "title": phrases(
        """"{The|A} {Silent|Crooked|Golden|Forgotten|Last|Blue} {Garden|Mirror|Winter|Lighthouse|Orchard|Staircase}"
        "{Letters|Notes|Tales} from {the North|a Small Town|Nowhere|an Island}" """
    ),
    "plot": {
        "crime": phrases(
            """{an inspector|a retired detective} hunts {a poisoner|a blackmailer}
            a body is found in the {vicarage|lift}
            the butler has no alibi / a heist goes wrong / fingerprints betray the murderer / a spy is shot on a train
            everyone at the dinner had a motive / the stolen diamond turns up in a cake
            a witness disappears before the trial
            the strangler leaves a riddle"""
        ),
        "love": phrases(
            """two shy {neighbours|violinists} fall for each other / a wedding is called off
            a widow meets her first sweetheart again
            he proposes under the cherry trees / the duke kisses the governess / a bouquet arrives without a name
            their engagement is kept secret / two rivals court the same girl / a summer flirt turns into marriage
            she waits ten years for her fiance"""
        ),
        "space": phrases(
            """a {robot|clone} starts to dream / settlers land on {Mars|a distant moon} / a starship loses its way
            an alien learns to sing / time travellers get stuck in the year 3000 / a computer takes over the planet
            a comet wakes a sleeping crew / two galaxies are at war / scientists build a gate to another universe
            the last astronaut calls the earth"""
        ),
        "fact": phrases(
            """it explains how to {prune roses|keep bees|knit socks} / it lists all the {birds|mosses} of the region
            it teaches the basics of accounting / it describes how glass is made / it gives tips for a healthy back
            it shows how to repair a bicycle / it is a guide to French grammar / it compares the world's religions
            it contains two hundred soup recipes / it is an introduction to statistics"""
        ),
    },
    "wish": {
        "borrow": phrases(
            """may I take these three home? / I should like to check this one out / can I have it for the weekend?
            is it free to be lent? / stamp it for me, please / I want to read it on holiday / two comics to go, please
            could I carry this home today? / put it on my card, please / I will have this one"""
        ),
        "return": phrases(
            """I have finished with these / here it is back / I am bringing back the atlas
            where do I drop these off?
            this one is due today, so here you are / my son read it and sends it back / please cross it off my card
            may I leave these in the box? / I am done with it / it goes back on the shelf now"""
        ),
        "extend": phrases(
            """may I keep it for another {week|month}? / could I have a little more time? / I am only halfway through
            please move the date / I need two more weeks / can the loan run on until May?
            I have not got to the end yet
            is it possible to renew it? / I am a slow reader, so please prolong it
            let me hang on to it a bit longer"""
        ),
        "search": phrases(
            """where can I find {cookery|poetry|travel}? / do you have anything on {Bach|beetles}?
            which shelf are the maps on?
            I am looking for a novel about whales / is there a catalogue? / can you help me to find a biography?
            who wrote it, and have you got it? / have you seen the dictionary of slang?
            in which aisle are the plays?
            does the library own a copy?"""
        ),
    },
    "when": phrases(
        "at closing time / on Saturday morning / during story hour / after the reading / at ten"
        " / shortly before six / in May"
    ),
    "author": phrases(
        "{Vera|Anton|Mabel|Luis|Ingrid|Cyril|Dora|Pablo} {Lark|Marek|Norris|Sorel|Tamm|Wynn|Castle|Bright}"
    ),
    "book": phrases(
        "{The|A} {Silent|Crooked|Golden|Forgotten|Last|Blue} {Garden|Mirror|Winter|Lighthouse|Orchard|Staircase}"
    ),
    "city": phrases("Dublin / Prague / Boston / Cairo / Oslo / Vienna / Lima / Kyoto / Glasgow / Naples"),
    "link": {
        "wrote": phrases(
            """[E1] {author} [/E1] {wrote|penned|is the author of} [E2] {book} [/E2]
            [E2] {book} [/E2] came from the pen of [E1] {author} [/E1]
            [E2] {book} [/E2] was {composed|begun and finished} by [E1] {author} [/E1]
            [E1] {author} [/E1] spent years on the manuscript of [E2] {book} [/E2]"""
        ),
        "read": phrases(
            """[E1] {author} [/E1] {borrowed|has just finished reading|fell asleep over} [E2] {book} [/E2]
            [E2] {book} [/E2] is the favourite bedtime reading of [E1] {author} [/E1]
            [E2] {book} [/E2] kept [E1] {author} [/E1] awake, page after page
            [E1] {author} [/E1] took [E2] {book} [/E2] home and devoured it"""
        ),
        "about": phrases(
            """[E2] {book} [/E2] tells the life of [E1] {author} [/E1]
            [E2] {book} [/E2] is {a portrait of|a biography of|all about} [E1] {author} [/E1]
            [E1] {author} [/E1] is the {central figure|main character|subject} of [E2] {book} [/E2]
            [E2] {book} [/E2] describes the childhood of [E1] {author} [/E1]"""
        ),
        "set": phrases(
            """[E2] {book} [/E2] {is set in|takes place in|plays in the streets of} [E1] {city} [/E1]
            [E1] {city} [/E1] is the scene of [E2] {book} [/E2]
            [E2] {book} [/E2] leads its readers through [E1] {city} [/E1]
            the story of [E2] {book} [/E2] begins in [E1] {city} [/E1]"""
        ),
    },
    "state": phrases(
        "torn / brand-new / out on loan / kept in the cellar / very popular / rather thick / printed in large type"
    ),
}

BOOKS = """{reader} recommends {title}: {plot}.
    {title} is {state}. The story? {plot}.
    {reader} returned {title} {when} and summed it up: {plot}.
    from the blurb of {title}: "{plot}."
    "{plot}," {reader} reads from the back cover.
    {clerk} sums it up for {reader}: {plot}.
    {reader} wants a book that is {state}, and says: "{plot}."
    {plot}. That is all {reader} remembers of {title}.
    the volume is {state}; {plot}."""

DESK = """{reader} comes to the desk {when}: "{wish}."
    "{wish}," says {reader} {when}.
    {when}, {reader} shows {title} to {clerk}. "{wish}."
    {clerk} looks up. "{wish}," says {reader}.
    "good morning. {wish}." These are the words of {reader}.
    "hello, {clerk@hello}. {wish}," says {reader}.
    a note from {reader} about {title}: "{wish}."
    {reader} whispers to {clerk}: "{wish}."
    the telephone rings {when}. "{wish}," a voice says."""

LINKS = """{link}.
    {clerk} says that {link}.
    {when}, {clerk} found out that {link}.
    the catalogue tells us that {link}.
    {link}, says {reader}.
    it is little known that {link}.
    {reader} asked whether {link}.
    if {clerk} is right, {link}.
    {link}; the copy on the shelf is {state}."""

LOANS = """{reader} borrowed {title} {when}, and <X:{author}> is next in the queue.
    {title} is reserved for <X:{author}>, not for {author}.
    it was <X:{author}> who lost {title}, and {author} who found it.
    {clerk} sent a reminder to <X:{author}>, because {title} is overdue.
    {when}, <X:{author}> had to pay a fine, while {author} was let off.
    {title}, last seen with {author}, is now at the home of <X:{author}>.
    {author} brought the book back {when}; <X:{author}> still owes one.
    the card on the floor belongs to <X:{author}>, says {clerk}.
    <X:{author}> has not returned {title}, although {author} asked for it."""

FAMILY = Family(
    "library",
    "meta_train",
    "public library",
    {**LEXICON, "clerk@hello": phrases("Ms Archer / Mr Booker / Mrs Dewey / Mr Fielding / Ms Leaf / Mrs Paige")},
    (
        classify(
            "genre",
            "plot",
            {"crime": "crime", "love": "romance", "space": "future", "fact": "factual"},
            BOOKS,
            "What kind of book is it?",
            "the genre of a book",
        ),
        classify(
            "shelf",
            "plot",
            {"crime": "linen", "love": "hazel", "space": "kettle", "fact": "drum"},
            BOOKS,
            "Which shelf does the book belong on?",
            "the genre of a book under arbitrary names",
        ),
        classify(
            "errand",
            "wish",
            {"borrow": "zorn", "return": "flet", "extend": "gwib", "search": "pimm"},
            DESK,
            "What does the reader want? Give the group.",
            "borrowing, returning, renewing, finding",
        ),
        classify(
            "link",
            "link",
            {"wrote": "writer", "read": "reader", "about": "topic", "set": "scene"},
            LINKS,
            "How is the marked name connected with the marked book?",
            "author, reader, subject or setting of a book",
            type="relation",
        ),
        extract(
            "debtor", LOANS, "Write down the name of the person who is concerned.", "the borrower a sentence is about"
        ),
    ),
)
