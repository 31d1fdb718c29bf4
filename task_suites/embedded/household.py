"""Household repairs: calls to a handyman service."""

from task_suites.embedded.generator import Family, Lexicon, choose, classify, phrases, tag

LEXICON: Lexicon = {
    "caller": phrases(
        """Mrs {Hale|Osgood|Pell|Varga} / Mr {Brandt|Lowe|Quill|Sato} / the {tenant|couple|widow|student} upstairs
        the owner of the {corner house|flat below|old mill}
        a {landlady|pensioner|young father} on {Elm|Mill|Park} Street
        the {caretaker|new neighbour|woman next door}"""
    ),
    "spot": phrases("in the {kitchen|bathroom|cellar|hall|attic|spare room|utility room} / upstairs / at the back"),
    "problem": {
        "water": phrases(
            """the {kitchen|bathroom} tap {drips|runs} all night / the {sink|basin|shower} drains far too slowly
            the toilet {keeps on flushing|is blocked again} / a pipe under the {sink|bath|floor} is leaking
            there is a puddle beneath the {washbasin|dishwasher|bath} / the shower gives only a trickle
            the cistern fills without stopping / the gutter overflows whenever it pours
            the waste pipe smells and gurgles / the hose connection sprays everywhere
            the bath will not empty / damp is spreading from a burst joint"""
        ),
        "power": phrases(
            """the {hall|landing|porch} light {flickers|stays dark} / the fuse blows every evening
            sparks come out of the {socket|switch} / none of the sockets {work|have any current}
            the doorbell has stopped ringing / the {cooker|oven} trips the breaker
            a bare cable hangs from the ceiling / the lamp hums and goes off
            the plug feels hot and smells of burning / the dimmer switch gives small shocks
            half the house has no electricity / the new chandelier has to be wired"""
        ),
        "wood": phrases(
            """the {front|bedroom|cellar} door {sticks|squeaks|will not shut}
            the {shelf|bookcase} is coming off the wall
            a floorboard {creaks|has split} / the drawer no longer slides / the banister is loose
            the wardrobe has lost a hinge / one leg of the {table|bench} wobbles / the window frame is rotten
            the {third|bottom} stair has cracked / the skirting board has come away / the cupboard door hangs crooked
            the garden gate has dropped off its hinges"""
        ),
        "heat": phrases(
            """the radiator {stays cold|knocks all night} / the boiler {will not light|has gone out|shows an error}
            the {bedroom|lounge} never gets above twelve degrees / the thermostat reads nonsense
            the {stove|chimney} fills the room with smoke / the pilot flame keeps dying
            it is freezing indoors / the underfloor system is lukewarm at best
            the radiators need bleeding / the furnace has broken down / the oil tank is almost empty
            the heat pump makes a grinding noise"""
        ),
    },
    "wait": {
        "now": phrases(
            """{somebody|someone} has to come at once / it cannot wait {another hour|until tomorrow}
            please send a person straight away / this is an emergency / help is needed this very minute
            every minute counts / please drop everything and come / it is getting worse by the minute
            there is real danger / we need you immediately"""
        ),
        "week": phrases(
            """{some time this week|Thursday or Friday} would be fine / a visit within a few days is enough
            please come before the weekend / it should be done by the end of the week
            the day after tomorrow suits us / we can manage for two or three days
            please look in when you are next in the street this week / before Sunday would be good
            we hope for a slot in the coming days / it ought to be seen to fairly soon"""
        ),
        "never": phrases(
            """there is no hurry at all / it can wait until {spring|summer|next year} / any time will do
            please take your time / we are in no rush / one month more or less does not matter
            come whenever the diary is empty / this has the lowest priority / we have lived with it for years
            it is hardly worth a special trip"""
        ),
    },
    "temper": {
        "cross": phrases(
            """this is the third time I have asked / your last man left a dreadful mess / I am fed up with promises
            I want my money back / nobody ever calls me back / such sloppy work is a disgrace
            I have had enough of your excuses / the bill was outrageous / you people never turn up
            I shall complain to the owner"""
        ),
        "glad": phrases(
            """your fitter did a splendid job last time / thank you so much for the quick reply
            we are delighted with the earlier repair / you have always been so kind / what a relief that you exist
            I recommend you to all my friends / your team is simply wonderful / bless you for coming so late on Friday
            the last visit was a pleasure / we could not be happier with your service"""
        ),
        "afraid": phrases(
            """I dare not touch anything / I am scared that the ceiling will fall / I lie awake over it
            what if the whole house burns down / the children might get hurt / I am terribly anxious
            I fear the worst / my hands are shaking / I do not feel safe here any more
            I keep imagining what could happen"""
        ),
    },
    "tool": phrases(
        """hammer / spanner / drill / saw / chisel / screwdriver / plunger / spirit level / tape measure / file
        pair of pliers / hacksaw / wrench / crowbar / sander / soldering iron / stepladder / trowel
        paint roller / plane"""
    ),
    "part": phrases(
        "hinge / washer / fuse / valve / bracket / gasket / bolt / fuse box / ball cock / lock / door handle"
    ),
    "errand": phrases("the first visit / lunch / a long day / mending the fence / a quarrel / painting the wall"),
    "size": phrases("small / rusty / new / heavy / borrowed / spare / long / old / blunt"),
}

REPORTS = """{caller} {says|writes|reports}: "{problem}, {and|but} {wait}."
    {problem} {at Mill Street {4|7|12}|in number {3|9|25}}. {wait}.
    message from {caller}: {problem}. {wait}.
    "{problem}," {says|explains} {caller}. "{wait}."
    "{wait}," {says|adds} {caller}, "because {problem}."
    new job for {caller}: {problem}; {wait}.
    "{wait}," {caller} says, "since {problem}."
    note on the door: {problem}. {wait}. Ask for {caller}."""

MOODS = """{caller} {says|writes}: "{problem}. {temper}!"
    "{temper}," {says|writes} {caller}. "Now {problem}."
    voice mail from {caller}: "{problem}. {temper}."
    it is {caller} again: "{temper}. This time {problem}."
    "{problem}. {temper}," {caller} tells the office.
    {problem}, {says|writes} {caller}. "{temper}."
    call at {nine|ten|noon|four}: "{temper}! Now {problem}." It was {caller}.
    letter from {caller}: "{temper}. By the way, {problem}."
    {caller} rang again: "{temper}! And {problem}," said the voice."""

TOOLS = """{caller} handed the fitter a {size} <TOOL:{tool}> and a new <PART:{part}>.
    without a <TOOL:{tool}> nobody can replace the <PART:{part}> {spot}.
    please bring a <TOOL:{tool}>, a <TOOL:{tool}> and a {size} <PART:{part}>.
    the <PART:{part}> {spot} was so stiff that the <TOOL:{tool}> broke.
    there is a <TOOL:{tool}> lying {spot}, next to a ladder and a {size} <PART:{part}>.
    {caller} wants to borrow a <TOOL:{tool}> to loosen the <PART:{part}>.
    first take the <TOOL:{tool}>, then fit the <PART:{part}>, and put the <TOOL:{tool}> back.
    the apprentice left a {size} <TOOL:{tool}> {spot} after {errand}.
    {caller} has a cat, two bicycles and a {size} <TOOL:{tool}>, but no <PART:{part}>."""

STEPS = [
    (
        "the {cellar|bathroom} floor is under water / a pipe has burst above the {hall|kitchen}",
        "{shut|turn} off the {main tap|stopcock} / stop the water at the mains and mop up",
    ),
    (
        "there is a strong smell of gas {in the house|on the stairs} / the gas meter hisses loudly",
        "open the windows and leave the house / go outside without touching a switch",
    ),
    (
        "the {hall|bedroom} bulb has blown / the lamp over the {desk|stairs} stays dark",
        "{put|screw} in a new bulb / fetch a fresh bulb from the cupboard",
    ),
    (
        "the {front door|gate} squeaks horribly / the hinges {creak|groan} at every touch",
        "put a drop of oil on the hinges / fetch the oil can and grease it",
    ),
    (
        "the {key|lock} is lost and the family stands outside / {caller} is locked out",
        "ring a locksmith / ask the neighbour for the spare key",
    ),
    (
        "the wall {of the nursery|behind the sofa} looks grey and stained / the old paint is peeling",
        "buy two tins of paint and a roller / give the wall a fresh coat of white",
    ),
    (
        "a {fat|frying} pan has caught fire / flames rise from the pan",
        "cover it with the lid / smother the flames with a damp cloth",
    ),
    (
        "a window pane is {cracked|smashed} / the {ball|stone} went straight through the glass",
        "order a new pane from the glazier / measure the frame for new glass",
    ),
]

FAMILY = Family(
    "household",
    "meta_train",
    "household repairs",
    LEXICON,
    (
        classify(
            "trade",
            "problem",
            {"water": "plumbing", "power": "electrics", "wood": "joinery", "heat": "heating"},
            f"{REPORTS}\n{MOODS}",
            "Which trade should take this call?",
            "the trade that mends what is broken",
        ),
        classify(
            "priority",
            "wait",
            {"now": "dax", "week": "velm", "never": "zup"},
            REPORTS,
            "Sort the call into its group.",
            "how soon somebody has to come: at once, this week, some day",
        ),
        classify(
            "temper",
            "temper",
            {"cross": "annoyed", "glad": "thankful", "afraid": "worried"},
            MOODS,
            "How does the caller feel?",
            "the caller's mood",
        ),
        classify(
            "dry_or_wet",
            "problem",
            {"water": "copper", "heat": "copper", "power": "violin", "wood": "violin"},
            f"{REPORTS}\n{MOODS}",
            "Give the call its code word.",
            "pipes (water, heating) against everything else (electricity, wood)",
        ),
        tag("tools", ("TOOL", "PART"), TOOLS, "Mark the tools and the parts.", "tools and spare parts"),
        choose(
            "first_step",
            STEPS,
            """{caller} calls: "{situation}." What should be done first?
            {caller} sees that {situation}. What is the sensible thing to do?
            this morning {situation}, says {caller}. Which step comes first?
            "{situation}," {caller} whispers. What is to be done?
            {caller} wakes at {six|nine|eleven}, and {situation}. What next?
            {caller} has noticed it: {situation}. What helps?
            imagine that {situation}. What would {caller} do?
            {situation}, and {caller} is alone at home. What now?
            {situation}, so {caller} asks for advice. Which advice is best?""",
            "Choose the step that fits the situation.",
            "the sensible first step in a household mishap",
        ),
    ),
)
