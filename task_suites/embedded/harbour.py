"""Sea and harbour: what happens to ships, crews and cargo."""

from task_suites.embedded.generator import Family, Lexicon, classify, extract, phrases

LEXICON: Lexicon = {
    "ship": phrases(
        """the {trawler|tanker|ferry|tug|schooner|freighter|barge|yacht|cutter|dredger}
        the {Aurora|Kittiwake|Northern Star|Petrel|Santa Rita|Marigold|Sea Holly|Albatross}"""
    ),
    "crew": phrases(
        """the {captain|bosun|helmsman|mate|cook|engineer|deckhand|stoker}
        a {diver|docker|pilot|fisherman|crane driver}
        the {harbour master|lighthouse keeper|shipowner|chandler}"""
    ),
    "hour": phrases(
        """at {dawn|dusk|high tide|low tide|noon|midnight} / before {sunrise|the storm}
        in {thick fog|a stiff breeze}
        on {Tuesday|Saturday} / during the night watch"""
    ),
    "quay": phrases(
        "{north|west|old|fish|coal} {quay|pier|jetty} / {inner|outer} basin / dry dock / slipway / grain berth"
    ),
    "deed": {
        "come": phrases(
            """{ship} [T] {entered|reached} [/T] the {quay} / {ship} [T] moored [/T] at the {quay}
            {ship} [T] docked [/T] with forty people on board / the [T] arrival [/T] of {ship} was announced
            {ship} [T] dropped [/T] anchor off the {quay} / {ship} [T] returned [/T] to its home port"""
        ),
        "go": phrases(
            """{ship} [T] {left|cleared} [/T] the {quay} / {ship} [T] sailed [/T] for {Lisbon|Bergen|Cork}
            {ship} [T] cast [/T] off / the [T] departure [/T] of {ship} was delayed
            {ship} [T] put [/T] to sea with a fresh crew / {ship} [T] weighed [/T] anchor and headed west"""
        ),
        "harm": phrases(
            """{ship} [T] {rammed|scraped|struck} [/T] the {quay} / {ship} [T] {capsized|sank} [/T] off the {quay}
            {ship} [T] collided [/T] with a buoy / a [T] fire [/T] broke out on {ship}
            {ship} [T] ran [/T] aground near the {quay} / the mast of {ship} [T] snapped [/T]"""
        ),
        "cargo": phrases(
            """{crew} [T] {unloaded|hoisted|stowed} [/T] the {cargo} / {crew} [T] {weighed|stacked} [/T] the {cargo}
            the [T] loading [/T] of {cargo} began at the {quay} / {crew} [T] lowered [/T] the {cargo} into the hold
            two cranes [T] shifted [/T] the {cargo} / {crew} [T] discharged [/T] the {cargo} at the {quay}"""
        ),
        "mend": phrases(
            """{crew} [T] {patched|caulked|painted} [/T] the hull / {crew} [T] {greased|overhauled} [/T] the engine
            {crew} [T] mended [/T] the nets / the [T] refit [/T] of {ship} took a month
            {crew} [T] replaced [/T] the cracked propeller / the rudder was [T] welded [/T] at the {quay}"""
        ),
    },
    "cargo": phrases(
        """{crates of|boxes of} {oranges|tea|bananas|herring} / barrels of {wine|tar|salted cod|olives}
        sacks of {coffee|rice|flour|cement} / bales of {cotton|wool|hay} / {timber|steel pipes|coal|marble slabs}"""
    ),
    "aim": {
        "catch": phrases(
            """to cast the nets for {herring|cod|mackerel} / to haul in lobster pots / to follow the shoals
            to bait two thousand hooks / to bring home a hold full of {hake|plaice|sardines}
            to gut and ice the catch
            to try the fishing grounds off the bank / to dredge for {oysters|scallops} / to go after tuna
            to land as many crabs as the quota allows"""
        ),
        "save": phrases(
            """to search for a missing {swimmer|canoeist} / to pick up survivors from a raft
            to tow a drifting boat to safety
            to answer a mayday / to pull {two|three} men out of the water / to free a crew trapped on a sandbank
            to look for a child on an air bed / to drop life jackets near the wreck / to fetch a sick sailor ashore
            to help those clinging to the hull"""
        ),
        "fun": phrases(
            """to watch {whales|dolphins|puffins} with tourists / to race around the island
            to picnic in a quiet cove
            to enjoy the sunset with {friends|a bottle of wine} / to try out a new sail for pleasure
            to take the children on a pleasure trip / to snorkel off the reef / to celebrate a birthday on deck
            to win the regatta / to laze about in the sun"""
        ),
        "haul": phrases(
            """to deliver {four hundred cars|medicine|new tyres} / to carry grain across the strait
            to bring {machine parts|newspapers|mail} to the islands / to ship containers to {Hamburg|Genoa}
            to take a load of gravel down the coast / to pick up ore from the mines / to transport live cattle
            to move furniture for an export firm / to supply the oil rig with diesel
            to fetch crude from the terminal"""
        ),
    },
    "item": phrases(
        "anchor / rudder / mast / keel / galley / funnel / propeller / wheelhouse / rigging / bilge pump / bow thruster"
    ),
    "town": phrases("Bergen / Cork / Lisbon / Ostend / Riga / Gdansk / Porto / Leith / Malmo / Trieste / Izmir"),
    "vessel": phrases(
        """{Aurora|Kittiwake|Petrel|Marigold|Albatross|Sea Holly|Northern Star|Santa Rita|Black Swan|Curlew}"""
    ),
    "owner": phrases(
        "{Captain|Mr|Mrs|Widow} {Rask|Doyle|Tello|Moreau|Finch|Haddock|Ruiz|Skoog} / {Lund|Brace|Marlow} and Sons"
    ),
    "bond": {
        "part": phrases(
            """[E1] the {item} [/E1] of [E2] the {vessel} [/E2] {needs grease|is made of brass|was made in Leith}
            [E2] the {vessel} [/E2] has {a dented|an old|a brand-new} [E1] {item} [/E1]
            [E1] the {item} [/E1] is fitted amidships on [E2] the {vessel} [/E2]
            [E2] the {vessel} [/E2] was built with a heavier [E1] {item} [/E1]"""
        ),
        "own": phrases(
            """[E1] {owner} [/E1] {bought|owns|inherited|sold a share of} [E2] the {vessel} [/E2]
            [E2] the {vessel} [/E2] {belongs to|is the property of|was left by will to} [E1] {owner} [/E1]
            [E1] {owner} [/E1] is still paying off [E2] the {vessel} [/E2]"""
        ),
        "port": phrases(
            """[E2] the {vessel} [/E2] is {bound for|on her way to|due at} [E1] {town} [/E1]
            [E1] {town} [/E1] is the next port of call for [E2] the {vessel} [/E2]
            [E2] the {vessel} [/E2] will {put in at|tie up in} [E1] {town} [/E1] tomorrow
            passengers for [E1] {town} [/E1] should board [E2] the {vessel} [/E2]"""
        ),
        "command": phrases(
            """[E1] {owner@person} [/E1] {commands|steers|is at the helm of} [E2] the {vessel} [/E2]
            [E2] the {vessel} [/E2] {obeys|sails under|is skippered by} [E1] {owner@person} [/E1]
            [E1] {owner@person} [/E1] gives the orders aboard [E2] the {vessel} [/E2]
            [E1] {owner@person} [/E1] navigated [E2] the {vessel} [/E2] through the reef"""
        ),
    },
    "owner@person": phrases("{Captain|Skipper|First Mate} {Rask|Doyle|Tello|Moreau|Finch|Haddock|Ruiz|Skoog|Weir}"),
    "weather": phrases(
        """the gulls were screaming / rain was falling / the sea was calm / a bell rang / the tide was turning
        nobody paid attention / the lamps were already lit / a crowd looked on"""
    ),
}

LOG = """{hour}, {deed}.
    {deed} {hour}.
    {deed}, says the log, and {weather}.
    while {weather}, {deed}.
    the log for {Monday|Thursday|Sunday} reads: "{deed}."
    {crew} looked on as {deed}.
    {weather} when {deed}.
    {deed}; {crew} wrote it down {hour}.
    nobody slept that night: {deed}."""

VOYAGES = """{ship} went out {hour} {aim}.
    {hour}, {crew} took {ship} out {aim}.
    {crew} has hired {ship} {aim}.
    "we need {ship} {aim}," said {crew}.
    {aim}, {ship} left the {quay} {hour}.
    {crew} is ready {aim}, although {ship} is slow.
    the crew of {ship} rose early {aim}.
    it took {ship} six hours {aim}.
    {weather} as {ship} set out {aim}."""

BONDS = """{bond}.
    {crew} {says|believes|has heard} that {bond}.
    as far as {crew} knows, {bond}.
    it is written on the board that {bond}.
    {bond}, and {crew} is glad of it.
    everybody {at the|near the} {quay} knows that {bond}.
    {bond}, according to {crew}.
    {crew} was not told that {bond}.
    the papers show that {bond}."""

CARGOES = """{hour}, {crew} saw {ship} land <CARGO:{cargo}> at the {quay}.
    {ship} is carrying <CARGO:{cargo}> from {town} to {town}.
    {crew} counted the passengers while the cranes took <CARGO:{cargo}> off {ship}.
    there was no room for <CARGO:{cargo}> in the hold of {ship}.
    a load of <CARGO:{cargo}> went overboard {hour}, but {ship} stayed afloat.
    {ship} should bring <CARGO:{cargo}> to the {quay} {hour}.
    {crew} signed for <CARGO:{cargo}> and asked about the {item} of {ship}.
    the customs men opened the hold of {ship} and found <CARGO:{cargo}>.
    {crew} sold <CARGO:{cargo}> to a merchant in {town}."""

FAMILY = Family(
    "harbour",
    "meta_train",
    "sea and harbour",
    LEXICON,
    (
        classify(
            "log",
            "deed",
            {"come": "arrival", "go": "departure", "harm": "accident", "cargo": "freight", "mend": "upkeep"},
            LOG,
            "What kind of event does the marked word stand for?",
            "arrival, departure, accident, cargo handling, maintenance",
            type="event",
        ),
        classify(
            "flag",
            "deed",
            {"come": "juniper", "go": "juniper", "harm": "saddle", "cargo": "pebble", "mend": "pebble"},
            LOG,
            "Give the marked event its code word.",
            "traffic, damage, or work on ship and cargo",
            type="event",
        ),
        classify(
            "purpose",
            "aim",
            {"catch": "quib", "save": "snel", "fun": "wux", "haul": "bram"},
            VOYAGES,
            "Sort the voyage into its group.",
            "fishing, rescue, leisure, transport",
        ),
        classify(
            "bond",
            "bond",
            {"part": "ivory", "own": "thimble", "port": "meadow", "command": "falcon"},
            BONDS,
            "Which code word stands for the link between the two marked things?",
            "part of a ship, owner, destination, commander",
            type="relation",
        ),
        extract("cargo", CARGOES, "Write down the goods.", "the cargo that the sentence names"),
    ),
)
