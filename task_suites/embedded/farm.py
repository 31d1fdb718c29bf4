"""On the farm: beasts, seasons, chores and bargains."""

from task_suites.embedded.generator import Family, Lexicon, classify, phrases, tag

LEXICON: Lexicon = {
    "hand": phrases(
        """{old|young} {Jenkin|Tamsin|Barnaby|Elspeth|Rufus|Maud}
        {Jenkin|Tamsin|Barnaby|Elspeth|Rufus|Maud|Aldo|Greta}
        the {farmer|shepherd|milkmaid|stable boy|carter|vet|miller|beekeeper}"""
    ),
    "spot": phrases(
        """{in|behind|near} the {barn|orchard|stable|farmyard|hen house|hay loft|greenhouse}
        {by|beside} the {pond|well|mill stream|hedge|gate|dung heap}"""
    ),
    "beast": {
        "wool": phrases(
            """a {cow|heifer|calf|bull|goat|kid} / a {ewe|ram|lamb} / a {sow|piglet|boar} / a {mare|foal|donkey|mule}
            a {pair of oxen|team of horses|flock of sheep|litter of piglets}"""
        ),
        "bird": phrases(
            """a {hen|cock|chick|bantam} / a {duck|drake|duckling} / a {goose|gander|gosling}
            a {turkey|guinea fowl|peacock}
            a {barn owl|swallow|pigeon|pheasant}"""
        ),
        "small": phrases(
            """a {bee|wasp|hornet} / a {beetle|caterpillar|greenfly} / a swarm of {midges|gnats}
            a {moth|cricket|grasshopper}
            a {spider|slug|snail|locust} / an army of ants"""
        ),
        "engine": phrases(
            """a {tractor|combine harvester|baler|trailer} / a {plough|seed drill|harrow}
            a {milking machine|pump|quad bike}
            a {lorry|forklift|hay rake|chainsaw}"""
        ),
    },
    "chore": {
        "spring": phrases(
            """the first lambs are born / {barley|oats} and peas are sown / the apple trees are in blossom
            the cattle leave the barn for fresh grass / seedlings are planted out / the swallows return from Africa
            potatoes are put into the warming soil / cowslips bloom along the lane / the hens begin to brood again
            the buds open"""
        ),
        "summer": phrases(
            """the hay is {cut|turned} under a blazing sun / the {cherries|strawberries|currants} are ripe
            the sheep are shorn in the heat / the stream has nearly dried up / the nights are short and warm
            the cows seek the shade / poppies glow among the tall corn / the fields have to be watered twice a day
            the bees are busiest / everyone works until ten in daylight"""
        ),
        "autumn": phrases(
            """the {apples|pears|grapes} are picked / {pumpkins|beets} are piled up / the leaves turn {red|brown}
            cider is pressed / the stubble is ploughed under / mushrooms come up after the rain / acorns feed the pigs
            the swallows gather to fly south / the last potatoes are lifted / chestnuts fall on the path"""
        ),
        "winter": phrases(
            """the {pond|trough} is frozen solid / the cattle stay in and eat hay / snow blocks the {lane|gate}
            {icicles hang|frost lies} on the barn / the bare trees are pruned / the pipes have to be thawed
            it is dark by four / the sledge is used for fodder / holly is cut for the door
            logs are split for the stove"""
        ),
    },
    "deal": {
        "sell": phrases(
            """{hand} [T] {sold|auctioned|bartered} [/T] {goods} / {hand} [T] offered [/T] {goods} at the market
            the [T] sale [/T] of {goods} brought in little / {hand} [T] found [/T] a buyer for {goods}
            {hand} [T] let [/T] {goods} go for a fair price / {goods} [T] fetched [/T] a good sum"""
        ),
        "buy": phrases(
            """{hand} [T] {bought|ordered|acquired} [/T] {goods} / {hand} [T] paid [/T] cash for {goods}
            the [T] purchase [/T] of {goods} emptied the purse / {hand} [T] outbid [/T] everyone for {goods}
            {hand} [T] picked [/T] up {goods} at a bargain price / {hand} [T] invested [/T] in {goods}"""
        ),
        "lose": phrases(
            """{hand} [T] {lost|forfeited} [/T] {goods} / a fox [T] {stole|ravaged} [/T] {goods}
            hail [T] ruined [/T] {goods}
            the flood [T] {swept|washed} [/T] {goods} away / the [T] theft [/T] of {goods} was noticed too late
            {goods} [T] vanished [/T] from the barn / lightning [T] destroyed [/T] {goods}"""
        ),
        "give": phrases(
            """{hand} [T] {gave|donated} [/T] {goods} to the poor / {hand} [T] left [/T] {goods} to a niece
            the [T] gift [/T] of {goods} pleased the vicar / {hand} [T] presented [/T] the school with {goods}
            {hand} [T] shared [/T] {goods} with a neighbour
            {hand} [T] handed [/T] {goods} to the guests for nothing"""
        ),
    },
    "goods": phrases(
        """{three|ten|twenty} {geese|lambs|piglets|hens}
        {two|five|forty} {bales of straw|sacks of oats|jars of honey|cheeses}
        the best {mare|heifer|ram} / a basket of {eggs|plums} / half the {harvest|wool|hay}
        the old {cart|plough}"""
    ),
    "mood": phrases(
        "although it was early / as usual / to everyone's surprise / without a word / in spite of the mud"
        " / on market day"
    ),
    "crop": phrases(
        "barley / rye / turnips / sugar beet / clover / maize / hops / kale / lentils / flax / oats / cabbages"
    ),
    "beast_name": phrases(
        "goats / geese / pigs / sheep / donkeys / rabbits / calves / turkeys / oxen / ducks / ponies"
    ),
    "field": phrases(
        "{upper|lower|stony|ten-acre|far} {field|meadow} / slope behind the church / strip along the river"
    ),
}

SIGHTS = """on the way to church {hand} spotted {beast} {spot}.
    there is {beast} {spot}, says {hand} with a nod.
    {spot}, quite by chance, {hand} came across {beast}.
    {hand} has drawn a picture of {beast} {spot}.
    "look over there, {beast}!" cried {hand} {spot}.
    {mood}, {hand} pointed at {beast} {spot}.
    what caught the eye of {hand} was {beast} {spot}.
    it was {beast} that {hand} noticed {spot}.
    a photograph shows {hand} with {beast} {spot}."""

CALENDAR = """{chore}, and {hand} is tired.
    {hand} writes: "{chore}."
    at this time of year {chore}, {hand} explains.
    {spot} {hand} stops and sees that {chore}.
    {chore} when {hand} comes to visit.
    "{chore}," says {hand}, "and there is a lot to do."
    it is the time of year when {chore}.
    {hand} loves the weeks when {chore}.
    {chore}; {hand} whistles {spot}."""

DEALS = """{deal}.
    {mood}, {deal}.
    last {week|month|year} {deal}.
    people say that {deal}.
    {deal}, and {hand} told everybody.
    it was {spot} that {hand} heard the news: {deal}.
    {deal}, {mood}.
    after a long talk {spot}, {deal}.
    {hand} still remembers the day when {deal}."""

FIELDS = """{hand} sowed <CROP:{crop}> on the {field} and kept the <HERD:{beast_name}> {spot}.
    the <HERD:{beast_name}> broke out and trampled the <CROP:{crop}> {spot}.
    on the {field} there are <CROP:{crop}> and <CROP:{crop}> this year.
    {mood}, {hand} fed the <HERD:{beast_name}> with <CROP:{crop}>.
    {hand} swapped <CROP:{crop}> for two <HERD:{beast_name}>.
    too much rain is bad for <CROP:{crop}>, but {hand} worries about the {field}.
    neither <HERD:{beast_name}> nor <HERD:{beast_name}> are allowed on the {field}.
    {hand} keeps <HERD:{beast_name}>, grows <CROP:{crop}> and mends fences.
    the <HERD:{beast_name}> {spot} belong to {hand}, the <CROP:{crop}> to the abbey."""

FAMILY = Family(
    "farm",
    "meta_train",
    "farming",
    LEXICON,
    (
        classify(
            "creature",
            "beast",
            {"wool": "otter", "bird": "cactus", "small": "button", "engine": "candle"},
            SIGHTS,
            "Give the thing that was noticed its code word.",
            "farm mammals, birds, insects and the like, machines",
        ),
        classify(
            "alive",
            "beast",
            {"wool": "sabe", "bird": "sabe", "small": "sabe", "engine": "trune"},
            SIGHTS,
            "Put what was noticed into one of two groups.",
            "living beings against machines",
        ),
        classify(
            "season",
            "chore",
            {"spring": "spring", "summer": "summer", "autumn": "autumn", "winter": "winter"},
            CALENDAR,
            "Which season is it?",
            "the season that a scene belongs to",
        ),
        classify(
            "deal",
            "deal",
            {"sell": "sale", "buy": "purchase", "lose": "loss", "give": "gift"},
            DEALS,
            "What happened to the goods?",
            "event at the marked word: sale, purchase, loss, gift",
            type="event",
        ),
        tag("fields", ("CROP", "HERD"), FIELDS, "Mark the crops and the animals.", "crops and farm animals"),
    ),
)
