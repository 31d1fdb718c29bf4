"""In the kitchen: dishes, steps, ingredients and how it all tasted."""

from task_suites.embedded.generator import Family, Lexicon, classify, extract, phrases, tag

LEXICON: Lexicon = {
    "cook": phrases(
        """{Rosa|Ivan|Celia|Bruno|Marta|Yusuf|Agnes|Leon|Priya|Otto} / the {chef|baker|cook|kitchen hand|pastry chef}
        my {grandmother|uncle|flatmate|sister}"""
    ),
    "dish": phrases(
        """{lentil|onion|fish|pumpkin} soup / {apple|plum|cherry} tart / beef stew / mushroom risotto
        potato salad / vegetable curry
        chicken pie / cheese omelette / roast lamb / fish gratin / lemon pudding / bean chilli / spinach lasagne"""
    ),
    "step": {
        "prepare": phrases(
            """{peel|grate|dice} the {carrots|potatoes|beetroot} / wash the {spinach|leeks} / sift the flour
            stone the {plums|cherries}
            chop the {parsley|shallots} / trim the fat off the meat / slice the {tomatoes|courgettes}
            crush the garlic
            soak the {beans|chickpeas} overnight / weigh the butter and the sugar / separate the eggs"""
        ),
        "heat": phrases(
            """{simmer|boil} it over a low flame / fry the {bacon|rice} in oil / roast the joint for an hour
            steam the {cod|sprouts}
            bake it until golden / grill the {peppers|chops} on both sides / bring the {milk|stock} to the boil
            brown the onions gently / poach the {eggs|pears} / toast the {almonds|bread}
            melt the chocolate in a pan"""
        ),
        "serve": phrases(
            """{sprinkle|scatter} {mint|nuts} on top and carry it in / arrange it on warm plates / ladle it into bowls
            bring it to the table / garnish it with a slice of lemon / hand round the {sauce|gravy}
            cut it into eight pieces for the guests / dust it with sugar and dish it up
            offer everybody a second helping
            decorate it with a sprig of basil / pour the cream over each portion"""
        ),
        "clean": phrases(
            """scrub the {pans|oven} / rinse the {glasses|colander} / wipe the worktop / mop the floor / dry the forks
            scrape the burnt bits off the tray / empty the bin / load the dishwasher / put the leftovers in the fridge
            hang up the tea towels / sweep up the crumbs"""
        ),
    },
    "taste": {
        "salty": phrases(
            """like {sea water|pure brine} / as if half the salt cellar had gone in / of anchovies and soy sauce
            so briny that we all reached for water / of too much bacon and feta / like a licked crisp packet
            of olives straight from the jar / like pickled herring"""
        ),
        "sweet": phrases(
            """like {honey|syrup|candyfloss} / of caramel and vanilla / as if a bag of sugar had been tipped in
            of ripe {figs|mangoes} / so sugary that my teeth hurt / like a melted toffee / of marzipan
            of custard and jam"""
        ),
        "sour": phrases(
            """like {neat vinegar|an unripe apple} / of {lemon|lime} juice and little else
            so sharp that we pulled faces
            of milk that has turned / of rhubarb without sugar / of gooseberries / like pickled cabbage
            so acid that it stung the lips"""
        ),
        "hot": phrases(
            """of {raw chilli|mustard and horseradish} / so fiery that our eyes watered
            as if a flame had touched the tongue
            of black pepper and ginger / so spicy that we gasped for milk / of a whole jar of curry paste
            like a mouthful of cayenne / as if wasabi had been added by the spoonful"""
        ),
    },
    "verdict": {
        "good": phrases(
            """everyone asked for more / the plates were licked clean / I have never eaten better
            it simply melted in the mouth
            the guests clapped / we begged for the recipe / there was not a crumb left / it was heavenly
            even the children loved it / it deserved a prize"""
        ),
        "bad": phrases(
            """nobody finished it / the dog got most of it / we ordered a pizza instead
            it went straight into the bin
            I felt sick afterwards / it was hardly fit to eat / the guests left early / we chewed in grim silence
            one bite was enough / it ruined the evening"""
        ),
        "dull": phrases(
            """it was neither good nor bad / we ate it without a word / nobody will remember it
            it filled us, no more
            I have had better and worse / it was all right, I suppose / it was rather ordinary / it did the job
            nobody complained and nobody cheered / it was just another meal"""
        ),
    },
    "food": phrases(
        """butter / flour / parsley / cream / garlic / cinnamon / rice / olive oil / brown sugar / honey / basil
        cheese / yeast
        lemon juice / coconut milk / tomato paste / vinegar / nutmeg / oat milk / soy sauce"""
    ),
    "amount": phrases(
        """{two|three|four} {spoonfuls|cups|handfuls} / a pinch / {half|a quarter of} a cup / {100|250|400} grams
        a {large|small} bowl"""
    ),
    "when": phrases(
        "on Sunday / last night / at noon / for the party / at the weekend / after work / before the guests arrived"
    ),
    "pot": phrases("saucepan / mixing bowl / frying pan / casserole / baking tin / blender / mortar / wok / sieve"),
}

STEPS = """for the {dish}, {step}.
    {cook} says: "Now {step}."
    step {three|five|seven}: {step}. It is for the {dish}.
    do not forget to {step}, {cook} warns.
    would you please {step} while {cook} rests?
    {when}, {cook} had to {step}.
    {cook} showed us how to {step}.
    once the radio is on, {step}, and leave the rest to {cook}.
    it was the turn of {cook} to {step} {when}."""

TASTES = """the {dish} that {cook} made tasted {taste}.
    {when}, the {dish} tasted {taste}.
    "it tastes {taste}," said {cook} about the {dish}.
    {cook} forgot the timer, and the {dish} tasted {taste}.
    why does the {dish} taste {taste}?
    the {dish} looked lovely but tasted {taste}.
    {cook} swears that the {dish} tasted {taste}.
    although {cook} followed the book, it all tasted {taste}.
    the first spoonful of {dish} tasted {taste}."""

VERDICTS = """{cook} made {dish} {when}; {verdict}.
    {verdict} when {cook} served {dish}.
    {when} there was {dish}, and {verdict}.
    {cook} spent hours on the {dish}. {verdict}.
    about the {dish}: {verdict}, said {cook}.
    {dish} again {when}! {verdict}.
    we tried the {dish} {when}, and {verdict}.
    the {dish} was made by {cook}. {verdict}.
    {verdict}. So much for the {dish} of {cook}."""

RECIPE = """stir <AMOUNT:{amount}> of <FOOD:{food}> into the {pot}, then add the <FOOD:{food}>.
    {cook} put <AMOUNT:{amount}> of <FOOD:{food}> into the {dish}.
    mix the <FOOD:{food}> and <AMOUNT:{amount}> of <FOOD:{food}> in a {pot}.
    without <FOOD:{food}> the {dish} is nothing, {cook} says.
    {cook} needs <AMOUNT:{amount}> of <FOOD:{food}> and a clean {pot}.
    add <FOOD:{food}>, <FOOD:{food}> and <AMOUNT:{amount}> of <FOOD:{food}>.
    take <AMOUNT:{amount}> of <FOOD:{food}>; the {pot} should be warm.
    {when}, {cook} dropped <AMOUNT:{amount}> of <FOOD:{food}> on the floor.
    the {dish} calls for <FOOD:{food}>, but {cook} prefers <FOOD:{food}>."""

MISSING = """{cook} has {food} and {food}, but there is no <X:{food}> left for the {dish}.
    the {dish} is almost done; only the <X:{food}> is missing, says {cook}.
    {cook} ran out of <X:{food}> and used {food} for the {dish}.
    please buy some <X:{food}>, since {cook} has only {food} at home.
    there is plenty of {food}, yet nobody can find the <X:{food}>.
    {cook} forgot to put <X:{food}> on the list, next to {food} and {food}.
    instead of <X:{food}>, which was sold out, {cook} took {food}.
    {when}, the shop had {food} but not the <X:{food}> that {cook} wanted.
    we lack <X:{food}> for the {dish}, though the {pot} is full of {food}."""

FAMILY = Family(
    "kitchen",
    "meta_train",
    "cooking",
    LEXICON,
    (
        classify(
            "stage",
            "step",
            {"prepare": "preparing", "heat": "cooking", "serve": "serving", "clean": "cleaning"},
            STEPS,
            "Which stage of kitchen work is it?",
            "preparing, cooking, serving, cleaning up",
        ),
        classify(
            "taste",
            "taste",
            {"salty": "teal", "sweet": "moss", "sour": "brick", "hot": "pearl"},
            TASTES,
            "Give the dish its colour.",
            "salty, sweet, sour, hot",
        ),
        classify(
            "verdict",
            "verdict",
            {"good": "tasty", "bad": "awful", "dull": "average"},
            VERDICTS,
            "How was the food?",
            "the eaters' verdict",
        ),
        tag("recipe", ("FOOD", "AMOUNT"), RECIPE, "Mark the ingredients and the amounts.", "ingredients and amounts"),
        extract("missing", MISSING, "Write down the ingredient that is lacking.", "the missing ingredient"),
    ),
)
