"""The words of the generated shop, all of them written for this project.

No maker here is meant to be one that exists. An attribute's phrase stands in a product's texts
exactly when the product has that attribute: no other text may hold a phrase.
"""

from __future__ import annotations

MAKERS = (
    "Ostrivelle Brandiquo Tarnovick Quillimar Veskholm Drumellar Fennistroy Ulmaric Corvandle "
    "Ploverand Hestrigan Wickmallow Zolferine Mirrowack Garnethorpe Jundelsea Kestovar Loomarrick "
    "Nettlequin Arbrenholt Skallowby Thrennick Umberlisle Yarrowmond Elsprick Brackelune "
    "Cindravole Dovemarrow Evenlark Falkenmoor Grindlewood Hollivane"
).split()

# What an attribute is good for: a bullet point says it after the phrase.
BENEFITS = {
    phrase: benefit
    for phrase, _, benefit in (
        line.partition("=")
        for line in """
adjustable feet=stands level where the floor is not
alcohol free=does not sting on freshly shaved cheeks
arch support=carries the foot through a whole day of standing
bpa free=nothing leaches into what you store
breathable=lets warm air out during the night
cruelty free=never tried on animals at any stage
curl defining=keeps ringlets apart instead of in a cloud
deep bass=fills a room with low notes
deep pockets=stays put on tall mattresses
dermatologist tested=checked in a clinic before it was sold
dishwasher safe=survives the hottest programme on the top rack
double walled=the outside stays cool to the touch
easy assembly=one tool and a quarter of an hour will do
easy to clean=a damp cloth is all it takes
extra thick=twice as much between you and the ground
fade resistant=looks the same after fifty summers of sun
fast charging=half full while you make breakfast
fast drying=ready again an hour after it was soaked
fleece lined=soft inside when the mornings are frosty
folds flat=slips behind a door when not needed
fragrance free=smells of nothing at all
gluten free=made in a kitchen without wheat
hands free calls=a microphone picks up your voice across the desk
heat protection=shields from irons and dryers
heat resistant=may stand next to a flame
height adjustable=moves up and down to suit whoever uses it
hidden storage=a compartment nobody suspects
high protein=keeps you going until the next meal
hyaluronic acid=holds moisture where it is needed
hypoallergenic=kind to people who sneeze easily
induction ready=works on every kind of hob
keto friendly=hardly any carbohydrates to count
lace up closure=pulls snug and stays tied
leak proof=travels upside down in a bag
lightweight=you forget that you carry it
long sleeve=covers the arm to the wrist
loose fit=room to move and to layer
low latency=sound and picture arrive together
low odor=keeps the air in a small flat pleasant
low sodium=seasoned with herbs in place of salt
lumbar support=holds the lower back where it belongs
machine washable=goes in with the rest of the laundry
memory foam=takes the shape of what rests on it
moisture wicking=draws sweat away before it is felt
nfc enabled=pairs with a tap
no artificial colors=its hue comes from the harvest alone
noise cancelling=hushes trains, fans and chatter
non gmo=grown from seed as farmers have kept it
non slip=keeps its grip on wet tiles
non stick=lets go of an egg without butter
nut free=packed on a line of its own
oil free=leaves no shine behind
organic cotton=grown without sprays
oven safe=goes from hob to oven
paraben free=kept fresh by gentler means
plant based=nothing in it comes from an animal
puncture resistant=shrugs off claws and thorns
quick release=opens with one thumb
recycled paper=gives old newsprint another life
refillable=top it up rather than throw it away
reflective strip=seen by headlights from far away
rubber sole=bends with the step and wears slowly
rust resistant=shines on after a wet season
sensitive skin=mild enough for those who redden quickly
scratch resistant=keys leave no trace
shea butter=rich and slow to fade
shock absorbing=takes a fall from the table
smear proof=dry before the hand passes over it
solid wood=cut from the plank, with no veneer
space saving=fits where others do not
stackable=one sits neatly on the next
stainless steel=does not stain, chip or taste
steel frame=carries more than it looks able to
stretch fabric=gives when you reach and springs back
sugar free=sweetened with nothing at all
sulfate free=cleans without stripping
tangle free=comes out of the drawer in one piece
tear resistant=stands up to teeth and thorns
touch control=a stroke of the finger is enough
ultra slim=hardly thicker than a coin
usb c port=takes the same plug as everything else
uv protection=turns away the harshest rays
vegan leather=looks like hide, and no animal gave it
vitamin c=brings back a little glow
voice control=does as it is told
waterproof=rain and puddles stay outside
wide toe box=leaves toes the room they want
wireless=no cord to trip over
wrinkle resistant=comes out of the suitcase as it went in
""".strip().splitlines()
    )
}

# Sentences of a description; each product takes one of each kind.
OPENINGS = (
    "This {type} was drawn with {use} in mind.",
    "Our {type} for {use}, and for anybody who likes things plain.",
    "We spent two winters on this {type} before we let {use} try it.",
    "This {type} is for {use}, first of all.",
    "There are many ways to make such a thing; this {type} began with {use}.",
    "An honest {type} that {use} will be glad of.",
)
MIDDLES = (
    "It is made with {material} in a workshop of twelve people.",
    "The secret is {material}, chosen by hand.",
    "We use {material} because nothing else lasted our own tests.",
    "Look closely and you will find {material} throughout.",
)
REVEALS = (
    "What is praised most often is this: {phrase} ({benefit}).",
    "One thing more: {phrase}.",
    "And, because you asked for it: {phrase}.",
)
FILLERS = (
    "Comes in a plain cardboard box without plastic",
    "Two years of guarantee, and a person who answers the telephone",
    "Colors may look a little different on your screen",
    "A small leaflet tells how to care for it",
    "Sent within two working days",
    "Please measure before you order",
)

# What a customer says first; then options and the price.
REQUESTS = (
    "i am looking for {article} {type} ({attributes})",
    "i need {article} {type} described as {attributes}",
    "find me {article} {type}: {attributes}",
    "i would like to buy {article} {type}, {attributes}",
    "show me {article} {type}, it should say {attributes}",
)
