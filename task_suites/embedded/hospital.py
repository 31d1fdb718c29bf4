"""Hospital reception: who comes to the desk, with what, and who belongs to whom."""

from task_suites.embedded.generator import Family, Lexicon, classify, phrases, tag

LEXICON: Lexicon = {
    "when": phrases(
        """this morning / shortly after {eight|nine|noon} / late last night / around {six|seven}
        during the lunch break
        before the {first|second} round / just now / at the start of the shift / on {Monday|Tuesday|Sunday}"""
    ),
    "guest": {
        "sick": phrases(
            """a man with a letter from his doctor / a patient with an appointment at ten
            a boy who has just been admitted
            a woman who is to have an operation / a pale teenager on crutches / someone in a hospital gown
            an old lady in a wheelchair / a man wearing a sling / a woman in labour
            a feverish toddler and his file"""
        ),
        "kin": phrases(
            """a husband with {flowers|a balloon} / a grandmother who wants to see the baby
            the parents of a small girl
            a daughter asking for her father's room / a friend with grapes and a card
            two brothers of the injured rider
            a neighbour carrying clean pyjamas / a worried mother / an aunt from abroad with a teddy bear
            a schoolmate who has come to cheer somebody up"""
        ),
        "staff": phrases(
            """the night nurse / a young surgeon on call / the ward sister / a porter pushing an empty bed
            a physiotherapist with a badge / the new midwife / a radiographer at the end of her shift
            the chief anaesthetist / a trainee doctor / the pharmacist on duty"""
        ),
        "trade": phrases(
            """a courier with {a parcel|two boxes} / the man who refills the vending machine / a florist's van driver
            an electrician with a toolbox / a salesman with a case of samples / a fitter who has to service the lift
            the laundry firm's driver / a window cleaner with a bucket / a technician sent by the scanner's maker
            the baker's boy with forty rolls"""
        ),
    },
    "complaint": {
        "heart": phrases(
            """a {racing|fluttering} pulse / a tight feeling in the chest / palpitations at night
            very high blood pressure
            swollen ankles and breathlessness / a pacemaker that needs checking / an irregular heartbeat
            pain spreading down the left arm / a leaking valve / a blocked artery / a murmur heard at the check-up"""
        ),
        "bone": phrases(
            """a broken {wrist|collarbone|rib} / a {sprained|twisted} ankle / a stiff hip / a dislocated shoulder
            a torn ligament / a knee that gives way / a plaster cast that is too tight / a slipped disc
            a fractured thumb / an aching lower back / a swollen elbow after a fall"""
        ),
        "eye": phrases(
            """blurred vision / a red and itching lid / a cataract / a splinter under the eyelid
            flashes of light at the edge
            double vision since {Friday|Easter} / a scratched cornea / sudden loss of sight on one side
            lenses that no longer suit / a squint / black dots that drift about when reading"""
        ),
        "skin": phrases(
            """an itchy rash / a mole that has changed colour / blisters on both {hands|heels} / a bad sunburn
            eczema behind the knees / a wart on the thumb / stubborn acne / hives after eating {nuts|shrimps}
            a scaly patch on the scalp / an infected insect bite / dry, cracked fingertips"""
        ),
        "ear": phrases(
            """ringing in both ears / a sore throat / a blocked nose that never clears / sudden deafness
            a nosebleed that will not stop / a bean stuck in one ear / swollen tonsils / a hoarse voice
            constant dizziness and earache / a hearing aid that whistles / loud snoring"""
        ),
    },
    "place": phrases("at the {front desk|side entrance|reception|information counter} / in the {lobby|waiting room}"),
    "name": phrases(
        """{Dr|Sister|Professor|Nurse} {Abel|Morrow|Castell|Fenwick|Okoro|Lindt}
        {Ida|Tom|Ruth|Omar|Lena|Victor} {Abbott|Marsh|Bloom|Kerr|Dunn}"""
    ),
    "person": phrases("{Ida|Tom|Ruth|Omar|Lena|Victor|Grace|Paul|Nora|Hugo} {Abbott|Marsh|Bloom|Kerr|Dunn|Webb|Frost}"),
    "doctor": phrases("{Dr|Professor} {Abel|Morrow|Castell|Fenwick|Okoro|Lindt|Nazari|Holm|Price|Vance}"),
    "tie": {
        "treats": phrases(
            """[E1] {doctor} [/E1] {operated on|examined|set the broken arm of} [E2] {person} [/E2]
            [E1] {person} [/E1] was {treated|examined|stitched up|discharged} by [E2] {doctor} [/E2]
            [E1] {doctor} [/E1] took out the appendix of [E2] {person} [/E2]
            [E1] {person} [/E1] is under the care of [E2] {doctor} [/E2]
            [E1] {doctor} [/E1] gave [E2] {person} [/E2] an injection"""
        ),
        "kin": phrases(
            """[E1] {person} [/E1] is the {cousin|grandchild|twin|godchild} of [E2] {person} [/E2]
            [E1] {person} [/E1] and [E2] {person} [/E2] are {siblings|twins|newly married|cousins}
            [E1] {person} [/E1] {married|adopted|brought up} [E2] {person} [/E2]
            [E1] {doctor} [/E1] is the {father|mother|aunt} of [E2] {person} [/E2]
            [E1] {person} [/E1] has the same parents as [E2] {person} [/E2]"""
        ),
        "boss": phrases(
            """[E1] {doctor} [/E1] {leads the team of|supervises|drew up the rota for|hired} [E2] {person} [/E2]
            [E1] {person} [/E1] {reports to|takes orders from|is the assistant of} [E2] {doctor} [/E2]
            [E1] {person} [/E1] was {promoted|trained|given leave} by [E2] {doctor} [/E2], who heads the department
            [E1] {doctor} [/E1] is the manager of [E2] {person} [/E2]"""
        ),
        "friend": phrases(
            """[E1] {person} [/E1] {plays chess|goes dancing|shares jokes} with [E2] {person} [/E2]
            [E1] {person} [/E1] brought {chocolates|magazines} for an old school friend, [E2] {person} [/E2]
            [E1] {person} [/E1] and [E2] {doctor} [/E2] {have been friends since childhood|spend every holiday together}
            [E1] {person} [/E1] is very fond of a former neighbour, [E2] {person} [/E2]
            [E1] {person} [/E1] is the best mate of [E2] {person} [/E2]"""
        ),
    },
    "stay": phrases(
        """on ward {two|three|five|nine} / in room {12|17|203|311} / for {two|three|ten} days
        since {Monday|Friday|Easter}"""
    ),
    "symptom": phrases(
        """sharp pain / swelling / a burning feeling / numbness / a bruise / stiffness / a deep cut / tingling
        a dull ache
        a rash / a cramp / redness / a lump / weakness"""
    ),
    "body": phrases(
        """left knee / right shoulder / neck / lower back / big toe / jaw / stomach / forehead / left elbow / thumb
        right hip / ankle / ribs / chin / calf"""
    ),
}

DESK = """{when}, {guest} {asked|waited|stood} {place}.
    {guest} {came in|turned up|appeared} {when}, {place}.
    {place}, {guest} {lined up|waited|asked for help} {when}.
    "who was that {place}?" "{guest}."
    the porter saw {guest} {place} {when}.
    {when}, {name} spoke to {guest} {place}.
    {place} there was {guest}, and the telephone kept ringing.
    somebody opened the door {when}: it was {guest}.
    {name} opened the door to {guest} {when}."""

WARD = """{name} came in {when} with {complaint}.
    {when}, {name} noted {complaint} on the {chart|form}.
    reason for the visit: {complaint}. Arrived {when}.
    "it began {when}," says {person}. "The doctor calls it {complaint}."
    {person} has {complaint} and {hopes|asks} to be seen soon.
    because of {complaint}, {person} was sent here {when}.
    {person}, who had the flu in March, now has {complaint}.
    {complaint}: that is why {person} is waiting {place}.
    the referral for {person} mentions {complaint}."""

SIGNS = """{person} complains of <SIGN:{symptom}> in the <BODY:{body}>.
    there is <SIGN:{symptom}> around the <BODY:{body}>, {person} says.
    {when}, {doctor} found <SIGN:{symptom}> on the <BODY:{body}>.
    the <BODY:{body}> shows <SIGN:{symptom}>, but the <BODY:{body}> looks normal.
    {person} fell on the <BODY:{body}> and now has <SIGN:{symptom}>.
    after the match {person} had <SIGN:{symptom}> and could not move the <BODY:{body}>.
    {person} has been {stay} because of <SIGN:{symptom}> in the <BODY:{body}>.
    no fracture, only <SIGN:{symptom}> and <SIGN:{symptom}> near the <BODY:{body}>.
    {doctor} bandaged the <BODY:{body}> {when}; there was still <SIGN:{symptom}>."""

TIES = """{tie}.
    {when}, it became clear that {tie}.
    according to the file, {tie}.
    the receptionist knows that {tie}.
    {tie}, as everybody {here|on the ward} knows.
    {name} is in a meeting; {tie}.
    did you hear? {tie}.
    it says here that {tie}.
    {person} mentioned {when} that {tie}."""

FAMILY = Family(
    "hospital",
    "meta_train",
    "hospital reception",
    LEXICON,
    (
        classify(
            "ward",
            "complaint",
            {"heart": "cardiology", "bone": "orthopaedics", "eye": "eyes", "skin": "skin", "ear": "throat"},
            WARD,
            "Which department is responsible?",
            "the department for a complaint",
        ),
        classify(
            "visitor",
            "guest",
            {"sick": "korb", "kin": "fenn", "staff": "mirt", "trade": "plog"},
            DESK,
            "Name the group that the visitor belongs to.",
            "patient, relative or friend, member of staff, tradesman",
        ),
        classify(
            "inside_or_outside",
            "guest",
            {"sick": "lantern", "staff": "lantern", "kin": "pepper", "trade": "pepper"},
            DESK,
            "Give the visitor the right badge.",
            "those who stay or work in the hospital against those who only call",
        ),
        classify(
            "tie",
            "tie",
            {"treats": "medical", "kin": "family", "boss": "work", "friend": "friendship"},
            TIES,
            "How are the two marked persons connected?",
            "treatment, kinship, hierarchy at work, friendship",
            type="relation",
        ),
        tag(
            "signs",
            ("SIGN", "BODY"),
            SIGNS,
            "Mark the complaints and the parts of the body.",
            "symptoms and body parts",
        ),
    ),
)
