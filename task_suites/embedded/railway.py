"""On the railway: passengers, staff, delays and announcements."""

from task_suites.embedded.generator import Family, Lexicon, choose, classify, extract, phrases

LEXICON: Lexicon = {
    "rider": phrases(
        """a {commuter|nun|soldier|schoolboy|violinist|salesman|backpacker|clown} in {coach|carriage} {two|five|nine}
        the {lady|gentleman|teenager|stranger} in seat {14|27|63}
        {Abel|Bonnie|Cyrus|Daphne|Emil|Freda} {Quist|Radley|Sloan|Tripp}"""
    ),
    "name": phrases(
        "{Abel|Bonnie|Cyrus|Daphne|Emil|Freda|Gus|Hester|Igor|Jill} {Quist|Radley|Sloan|Tripp|Urban|Voss|Wick|Yates}"
    ),
    "crew": phrases("the {guard|conductor|signalman|stationmaster|engine driver|porter|ticket inspector|dispatcher}"),
    "train": phrases(
        """the {7.15|8.40|11.05|16.20|22.50} {express|sleeper|stopping train|shuttle}
        the {boat|mail|milk|night} train
        the {last|early} service to {Crewe|Lyon|Basle|Milan|Warsaw|Tours}"""
    ),
    "spot": phrases(
        "on platform {one|two|six|nine} / at the {junction|terminus|level crossing}"
        " / in the {buffet car|tunnel|sidings}"
    ),
    "cause": {
        "nature": phrases(
            """{a swan is|cattle are|a deer is} on the line / {leaves|boulders} have covered the rails
            lightning struck the mast
            a {landslide|beech tree} blocks both tracks / the cutting is flooded / rooks have nested in the gantry
            the rails have buckled in the heat / the overhead wire is sheathed in ice
            sparrows are trapped in the signal
            a hedge fire has spread to the embankment"""
        ),
        "engine": phrases(
            """the {brakes|doors} are jammed / the {diesel engine|gearbox} has overheated / a coupling has come apart
            a wheel bearing squeals / the pantograph has snapped / the compressor gave up / smoke rises from the motor
            the horn no longer sounds / an axle is cracked / the second locomotive will not start"""
        ),
        "staff": phrases(
            """the {driver|guard} has overslept / a strike has been declared
            there is nobody to relieve the signalman
            the crew had to rest after eleven hours / the chef walked out / two conductors called in sick
            half the shift is at a meeting / the porter has lost the key / no shunter is on duty
            the trainee set the wrong points"""
        ),
        "crowd": phrases(
            """a {teenager|drunk} pulled the alarm cord / someone held the doors open
            four hundred football fans are boarding
            a {pram|suitcase} is stuck in the gap / two passengers came to blows
            a tourist dropped a phone on the track
            a woman has gone into labour / fare dodgers are hiding in the toilet
            a group of hikers boarded the wrong carriage
            someone left a bag, and nobody claims it"""
        ),
    },
    "feel": {
        "joy": phrases(
            """{beams|hums a song} and waves / cannot stop smiling / dances along the aisle / hugs everybody in sight
            throws a cap in the air / laughs out loud at the news / whistles merrily / kisses the engine
            claps with delight / shares a cake with the whole compartment"""
        ),
        "rage": phrases(
            """{bangs|kicks} the door with clenched teeth / shouts at the loudspeaker / tears up the timetable
            shakes a fist
            swears at the ticket machine / turns purple and stamps / hurls a newspaper at the wall
            demands the name of the boss
            glares and snorts / slams down the suitcase"""
        ),
        "grief": phrases(
            """{sobs|weeps} into a handkerchief / wipes away a tear / stares at a photograph and swallows hard
            cannot bear to say goodbye / buries a wet face in a scarf / sighs and looks at the empty seat
            is in mourning and says nothing / whispers farewell with a trembling voice
            sits there, broken-hearted / droops like a wilted flower"""
        ),
        "fear": phrases(
            """{trembles|shivers} as the tunnel nears / clings to the handrail / screams at every jolt
            turns white on the bridge
            dares not look down / prays with closed eyes / hides under a coat / breaks into a cold sweat
            jumps at every noise / begs to be let out"""
        ),
    },
    "notice": {
        "late": phrases(
            """{train} is running {forty|ninety} minutes behind / we apologise for the long wait for {train}
            {train} has been held up / {train} will not be on time / {train} has yet to leave the depot
            patience, please: {train} is stuck
            {train} is not expected before ten"""
        ),
        "where": phrases(
            """{train} now leaves from platform {three|eight|twelve}
            for {train} please use the far side of the bridge
            {train} will stop at the other end of the station / {train} has moved to the bay near the clock
            passengers for {train} should cross to track four / {train} comes in at the east side instead
            walk over to the upper level for {train}"""
        ),
        "buy": phrases(
            """on {train} a trolley with {tea|sandwiches} comes round / hot soup is served aboard {train}
            day returns for {train} are half price / cheap tickets for {train} are on sale
            the bar of {train} offers cider and crisps
            souvenir mugs can be had on {train} / children go free on {train}"""
        ),
        "rules": phrases(
            """smoking is forbidden on {train} / please do not lean out of {train}
            dogs on {train} must wear a muzzle
            keep your feet off the seats of {train} / stand clear of the doors of {train}
            bicycles may not be taken on {train} / anyone without a ticket for {train} will be fined"""
        ),
    },
    "carriage": phrases(
        "dining car / luggage van / restaurant coach / tender / brake van / sleeping car / observation car"
    ),
    "stop": phrases(
        "Crewe / Lyon / Basle / Milan / Warsaw / Tours / Bruges / Cologne / Verona / Bilbao / Aarhus / Linz"
    ),
    "line": {
        "calls": phrases(
            """[E1] {train} [/E1] {stops at|calls at|pulls in at} [E2] {stop} [/E2]
            one can board [E1] {train} [/E1] in [E2] {stop} [/E2]
            [E1] {train} [/E1] halts for two minutes in [E2] {stop} [/E2]
            in [E2] {stop} [/E2] the doors of [E1] {train} [/E1] open"""
        ),
        "skips": phrases(
            """[E1] {train} [/E1] {rushes past|skips|does not stop at|bypasses} [E2] {stop} [/E2]
            there is no way to board [E1] {train} [/E1] in [E2] {stop} [/E2]
            [E1] {train} [/E1] thunders through [E2] {stop} [/E2] without slowing down
            [E2] {stop} [/E2] has been struck off the route of [E1] {train} [/E1]"""
        ),
        "runs": phrases(
            """[E1] {train} [/E1] is {driven by|operated by|in the hands of} [E2] {name} [/E2]"""
            """ / [E2] {name} [/E2] is at the controls of [E1] {train} [/E1]
            [E2] {name} [/E2] {brakes|steers} [E1] {train} [/E1] with a steady hand
            [E2] {name} [/E2] started [E1] {train} [/E1] and blew the horn"""
        ),
        "sits": phrases(
            """[E2] {name} [/E2] {has a seat on|is asleep on|reads a novel aboard|took} [E1] {train} [/E1]
            [E2] {name} [/E2] looks out of the window of [E1] {train} [/E1]
            [E2] {name} [/E2] bought a ticket for [E1] {train} [/E1]
            [E1] {train} [/E1] is carrying [E2] {name} [/E2] home"""
        ),
    },
}

DELAYS = """{train} is not moving because {cause}.
    {cause}, {crew} announces {spot}.
    trouble {spot}: {cause}.
    "{cause}," {crew} explains to {rider}.
    {rider} has learned why {train} is late: {cause}.
    {cause}; for this reason {train} has been cancelled.
    {crew} shrugs: {cause}.
    {train} waits {spot}, since {cause}.
    a telegram from {crew} reads: "{cause}." """

FEELINGS = """with a whistle {train} starts, and {rider} {feel}.
    {spot}, {rider} {feel}.
    as {train} pulls in, {rider} {feel}.
    {crew} turns round: {rider} {feel}.
    {rider} has a ticket for {train} and {feel}.
    while {crew} checks the tickets, {rider} {feel}.
    {train} slows down, and {rider} {feel}.
    nobody takes notice when {rider} {feel}.
    it is {rider} who {feel} {spot}."""

NOTICES = """attention, please: {notice}.
    the loudspeaker crackles {spot}: "{notice}."
    "{notice}," calls {crew}.
    {notice}. That is the message {spot}.
    {rider} reads on the screen: "{notice}."
    "what did they say?" asks {rider}. "{notice}."
    a sign {spot} says: "{notice}."
    {crew} repeats it for {rider}: "{notice}."
    it was announced {spot}: {notice}."""

LINES = """a leaflet handed out by {crew} states that {line}.
    {crew} is certain that {line}.
    {line}, as every {signalman|porter|guard} will confirm.
    on weekdays {line}.
    {rider} asks {crew} if {line}.
    {line}, while {rider} looks on.
    it is no secret that {line}.
    the timetable and {crew} agree that {line}.
    {line}, and all is well."""

ACTS = [
    (
        "{rider} has boarded the wrong train / {rider} is travelling in the wrong direction",
        "get off and go back / change at the next stop",
    ),
    ("{rider} has no ticket / {rider} has lost the ticket", "pay the fare to the conductor / buy a new ticket"),
    (
        "{rider} left a suitcase on the train / {rider} cannot find a lost umbrella",
        "ask at the lost property office / report the missing item",
    ),
    (
        "{rider} is carrying a far too heavy trunk / {rider} has four big bags and a bad back",
        "call a porter / fetch a luggage trolley",
    ),
    (
        "{rider} wants to sleep, but the carriage is noisy / {rider} is disturbed by loud singing",
        "move to the quiet coach / put in earplugs",
    ),
    (
        "{rider} is famished after six hours of travel / {rider} is dying for a coffee",
        "visit the buffet car / wait for the trolley",
    ),
    (
        "a man collapses next to {rider} / {rider} sees a child fall onto the track",
        "pull the emergency cord / shout for help",
    ),
    (
        "the window beside {rider} lets in a cold draught / {rider} is freezing in the carriage",
        "put on a coat / turn up the heating",
    ),
]

STOPS = """{rider} fell asleep before {stop} and woke up in <X:{stop}>.
    {train} from {stop} was stopped by snow in <X:{stop}>.
    {name} meant to get out at {stop} but got out at <X:{stop}>.
    at last {train} reached <X:{stop}>, two hours after {stop}.
    {rider} is on the way from {stop} and now stands on the platform in <X:{stop}>.
    {name} phones from <X:{stop}>: "I shall be in {stop} by nine."
    {train} has left {stop} behind and is standing in <X:{stop}>.
    stranded in <X:{stop}>, {name} longs to be home in {stop}.
    the signal turned red, and {train} from {stop} had to wait in <X:{stop}>."""

FAMILY = Family(
    "railway",
    "meta_test",
    "railway",
    LEXICON,
    (
        classify(
            "delay",
            "cause",
            {"nature": "nature", "engine": "machinery", "staff": "personnel", "crowd": "passengers"},
            DELAYS,
            "Who or what is to blame?",
            "the cause of a delay",
        ),
        classify(
            "feeling",
            "feel",
            {"joy": "joyful", "rage": "furious", "grief": "sorrowful", "fear": "frightened"},
            FEELINGS,
            "Name the feeling.",
            "joy, anger, sadness, fear",
        ),
        classify(
            "mood",
            "feel",
            {"joy": "pleasant", "rage": "unpleasant", "grief": "unpleasant", "fear": "unpleasant"},
            FEELINGS,
            "Is the feeling pleasant or unpleasant?",
            "pleasant against unpleasant feelings",
        ),
        classify(
            "notice",
            "notice",
            {"late": "tunic", "where": "magnet", "buy": "orchid", "rules": "hammer"},
            NOTICES,
            "Give the announcement its code word.",
            "delay, change of platform, offer, prohibition",
        ),
        classify(
            "line",
            "line",
            {"calls": "halt", "skips": "passing", "runs": "driver", "sits": "traveller"},
            LINES,
            "How are the two marked parts connected?",
            "train and stop, train and place passed, train and driver, train and passenger",
            type="relation",
        ),
        choose(
            "act",
            ACTS,
            """{situation}. What is the thing to do?
            {crew} hears that {situation}. What would be sensible?
            {crew} notices that {situation}. What will be advised?
            {train} is moving, and {situation}. What now?
            "{situation}," says {crew}. What could help?
            what can be done when {situation}?
            {situation}, and {crew} is far away. What is the best step?
            shortly after {stop}, {situation}. What ought to be done?
            {situation} on {train}. What would you suggest?""",
            "Choose the step that helps.",
            "the sensible thing to do on a train",
        ),
        extract(
            "whereabouts", STOPS, "Write down where the traveller or the train is now.", "the present place among two"
        ),
    ),
)
