"""School life: lessons, teachers and pupils."""

from task_suites.embedded.generator import Family, Lexicon, choose, classify, phrases, tag

LEXICON: Lexicon = {
    "pupil": phrases("{Ben|Amy|Karl|Zoe|Imran|Lucy|Piet|Mona|Felix|Tess|Dario|Edith|Noah|Wanda}"),
    "teacher": phrases("{Miss|Mr|Mrs|Ms} {Ashby|Rowan|Teller|Gupta|Noble|Pike|Sandys|Hobbs|Keller|Moss}"),
    "klass": phrases("class {3A|4B|5C|7A|8B} / the {first|third|fifth|top} form / year {two|six|nine|ten}"),
    "day": phrases(
        """on {Monday|Tuesday|Wednesday|Thursday|Friday} / after the {first|long} break
        in the {second|fourth|last} lesson
        just before lunch / in the week before the holidays / yesterday afternoon / {early this|last} term"""
    ),
    "work": {
        "maths": phrases(
            """{added|multiplied|compared} fractions / solved {two|five} equations
            drew a triangle with a right angle
            worked out the area of a circle / learned the seven times table / measured the angles of a {square|kite}
            found the missing number in a sum / divided long numbers by twelve / plotted a straight graph
            rounded everything to two decimals / proved a theorem about parallel lines"""
        ),
        "nature": phrases(
            """looked at {pond water|onion cells} through a microscope / watched tadpoles turn into frogs
            drew the parts of a {flower|beetle} / collected {leaves|snails} in the wood / built a bird box
            dissected a {fish|squid} / grew beans in wet cotton wool / labelled the bones of a skeleton
            discussed how bees find nectar / counted the legs of a spider / learned how the heart pumps blood"""
        ),
        "past": phrases(
            """read about the {Vikings|Pharaohs|Romans} / drew a timeline of kings and queens
            acted the fall of the Bastille
            built a model of a medieval castle / studied letters from the trenches
            talked about life in the Stone Age
            learned why the empire collapsed / heard how printing was invented
            compared two accounts of an old battle
            looked at a treaty signed in 1648 / discussed the voyages of Columbus"""
        ),
        "sound": phrases(
            """sang a {round|carol} in three parts / practised scales on the recorder / clapped a {slow|tricky} rhythm
            tuned the {violins|guitars} / listened to a string quartet / learned to read the bass clef
            rehearsed for the spring concert / beat time on the drums / played a duet on the piano
            wrote a tune in a minor key / hummed the melody by heart"""
        ),
        "lands": phrases(
            """coloured in a map of {Asia|Africa} / found the source of the Nile
            named the capitals of {Europe|South America}
            learned what makes a volcano erupt / traced the borders of {Chile|Poland} / drew the layers of the earth
            measured the length of a river on the atlas / discussed deserts and rainforests
            spun the globe to find the poles
            read contour lines on a chart / compared village and city populations"""
        ),
    },
    "said": {
        "praise": phrases(
            """{well done|bravo}, that was a beautiful piece of work / I have never read a finer essay
            you can be proud of yourself
            what a splendid idea / that is the best answer today / you have improved so much / full marks, as usual
            I am impressed by how you helped the others / your handwriting is a joy / top of the class again"""
        ),
        "scold": phrases(
            """{stop|enough of} that noise / how often must I tell you to be quiet? / this is your third warning
            put that phone away at once / you ought to be ashamed / such rudeness will not be tolerated
            late again, and without an excuse / you will stay behind for an hour / who threw that paper plane?
            I expect a written apology"""
        ),
        "ask": phrases(
            """can anybody tell me the answer? / who would like to come to the board?
            what do you think will happen next?
            which of you has read the chapter? / where did we stop last time?
            how would you explain that to a friend?
            does anyone remember the rule? / why is the sky blue? / what is another word for it?
            who knows how it ends?"""
        ),
        "inform": phrases(
            """the trip to the zoo starts at eight / the library closes early today
            the test has been moved to Friday
            we have a new pupil from Ghana / there will be no swimming this week / the bus leaves from the back gate
            photographs will be taken tomorrow / lunch is in the gym from now on / parents' evening begins at seven
            the results are on the notice board"""
        ),
    },
    "nature_of": {
        "shy": phrases(
            """blushes when anyone looks / hardly ever speaks up / hides behind the others / whispers every answer
            hates reading aloud / sits alone in the corner / would rather write than talk / looks at the floor
            is terrified of the stage / never dares to raise a hand"""
        ),
        "lazy": phrases(
            """has not done any homework for weeks / yawns through every lesson / copies from the neighbour
            gives up after one line / always finds an excuse / puts everything off until later / sleeps on the desk
            never opens a book at home / does as little as possible / leaves the hard tasks to others"""
        ),
        "kind": phrases(
            """shares sandwiches with the little ones / comforts anyone who cries
            carries the bags of a boy on crutches
            always lends out pencils / waits for the slowest / never laughs at a mistake
            makes newcomers feel at home
            stands up for the weak / brings soup to a sick friend / helps the caretaker to stack chairs"""
        ),
        "keen": phrases(
            """asks for extra homework / has read every book on the list / stays behind to finish the experiment
            cannot wait for the next lesson / knows the whole poem by heart / is always the first to volunteer
            checks each answer twice / takes notes on everything / joins every club there is
            revises at the weekend"""
        ),
    },
    "gear": phrases(
        """ruler / compass / rubber / pencil case / glue stick / satchel / atlas / exercise book / calculator
        paintbrush
        fountain pen / dictionary / globe / felt-tip pen / protractor"""
    ),
    "room": phrases(
        "gym / music room / art room / canteen / chemistry lab / library / playground / staff room / main hall"
        " / cloakroom"
    ),
}

LESSONS = """{day}, as planned, {klass} {work}.
    {klass} {work} with {teacher}.
    {teacher} was pleased because {klass} {work} {day}.
    {day}, {pupil} and {pupil} {work}.
    while {pupil} was ill, {klass} {work}.
    "we {work} {day}," {pupil} told the family.
    {pupil} {work}, but {pupil} fell asleep.
    the inspector saw how {klass} {work}.
    after {teacher} had called the register, {klass} {work}."""

SPEECH = """{day}, {teacher} said to {pupil}: "{said}."
    "{said}," {teacher} told {klass}.
    {teacher} turned to {pupil} {day}: "{said}."
    "{pupil}," said {teacher}, "{said}."
    {klass} heard the voice of {teacher}: "{said}."
    with a look at {pupil}, {teacher} said: "{said}."
    from the {room} came a voice: "{said}." It was {teacher}.
    "{said}." With these words {teacher} went into the {room}.
    {teacher} shut the door and spoke to {klass}: "{said}." """

REPORT = """{pupil} {nature_of}.
    according to {teacher}, {pupil} {nature_of}.
    {teacher} writes that {pupil} {nature_of}.
    in {klass} it is {pupil} who {nature_of}.
    {pupil} is tall, plays the flute and {nature_of}.
    everyone in {klass} knows that {pupil} {nature_of}.
    the report says that {pupil} {nature_of}, and so does {teacher}.
    unlike {pupil}, {pupil} {nature_of}.
    {pupil} comes by bus and {nature_of}."""

LOST = """{pupil} left a <GEAR:{gear}> in the <ROOM:{room}> {day}.
    {teacher} found a <GEAR:{gear}> and a <GEAR:{gear}> in the <ROOM:{room}>.
    please bring the <GEAR:{gear}> to the <ROOM:{room}>, {pupil}.
    {day}, {klass} met in the <ROOM:{room}>, and {pupil} had no <GEAR:{gear}>.
    somebody has taken the <GEAR:{gear}> of {pupil}.
    from the <ROOM:{room}> to the <ROOM:{room}> {pupil} searched for a <GEAR:{gear}>.
    {teacher} keeps a spare <GEAR:{gear}> behind the door of the <ROOM:{room}>.
    {pupil} swapped a <GEAR:{gear}> for a sandwich, and {teacher} noticed it.
    the <ROOM:{room}> was locked, so {klass} sat on the stairs."""

PLANS = [
    (
        "it is raining hard and the {match|race} is off / the playing field is under water",
        "play indoors in the gym / wait inside until it stops",
    ),
    ("{pupil} has fallen and cut a knee / {pupil} has a bleeding elbow", "fetch a plaster / go to the school nurse"),
    (
        "the fire bell is ringing / there is smoke in the corridor",
        "leave in line by the nearest exit / walk out to the yard",
    ),
    (
        "{pupil} has forgotten the lunch box / {pupil} is hungry and has no food",
        "share a sandwich / buy a roll in the canteen",
    ),
    (
        "the {history|spelling} test is tomorrow / an exam is coming up",
        "revise the notes tonight / go over the chapter again",
    ),
    (
        "{pupil} has found a purse in the yard / a wallet lies under the desk",
        "hand it in at the office / look for the owner",
    ),
    (
        "{pupil} cannot read what is on the board / the writing looks blurred to {pupil}",
        "sit in the front row / have a test for glasses",
    ),
    (
        "it is far too hot in the classroom / everyone is sweating",
        "open all the windows / have the lesson under the trees",
    ),
    (
        "{pupil} is new and knows nobody / a girl from abroad stands alone",
        "invite the newcomer to play / show the new child around",
    ),
]

FAMILY = Family(
    "school",
    "meta_train",
    "school life",
    LEXICON,
    (
        classify(
            "subject",
            "work",
            {"maths": "maths", "nature": "biology", "past": "history", "sound": "music", "lands": "geography"},
            LESSONS,
            "Which subject was taught?",
            "the school subject of a lesson",
        ),
        classify(
            "speech",
            "said",
            {"praise": "comet", "scold": "gravel", "ask": "feather", "inform": "barrel"},
            SPEECH,
            "Give the remark its code word.",
            "praise, rebuke, question, announcement",
        ),
        classify(
            "character",
            "nature_of",
            {"shy": "shy", "lazy": "lazy", "kind": "kind", "keen": "eager"},
            REPORT,
            "What is the pupil like?",
            "a pupil's character",
        ),
        classify(
            "welcome",
            "nature_of",
            {"shy": "drell", "lazy": "drell", "kind": "hoam", "keen": "hoam"},
            REPORT,
            "Put the pupil into one of the two groups.",
            "qualities that need help against qualities to be glad of",
        ),
        tag("lost", ("GEAR", "ROOM"), LOST, "Mark the school things and the rooms.", "school things and rooms"),
        choose(
            "advice",
            PLANS,
            """{situation}, says {teacher}. What should {klass} do?
            {day}, {teacher} sees that {situation}. What is best?
            "{situation}!" cries {pupil}. What now?
            {klass} is in the {room}, and {situation}. What is the right thing to do?
            {situation}. {teacher} knows what to do. What is it?
            what should be done in the {room} if {situation}?
            {pupil} tells {teacher}: "{situation}." What comes next?
            in the {room}, {situation}. What will {teacher} suggest?
            {situation} {day}. What would be sensible?""",
            "Choose what fits the situation.",
            "the sensible thing to do at school",
            options=4,
        ),
    ),
)
