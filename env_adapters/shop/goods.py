"""What the generated shop stocks: shelves, their types of product, and what those can be like."""

from __future__ import annotations

from dataclasses import dataclass

COLORS = (
    "black white charcoal navy olive burgundy mustard teal sand rust lavender slate ivory coral"
).split()
WOODS = "natural oak|dark walnut|white|black|grey wash|light birch".split("|")
CLOTHES = "x-small|small|medium|large|x-large|xx-large".split("|")
BEDS = "twin|full|queen|king".split("|")
PACKS = "pack of 1|pack of 2|pack of 3|pack of 6|pack of 12".split("|")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Types that stand together: they share attributes, options, uses and materials."""

    category: tuple[str, str]  # department and shelf, as WebShop's `department › shelf`
    types: str  # `name lowest-highest price`, in dollars
    attributes: str
    options: dict[str, list[str]]
    uses: str
    materials: str
    never: str = ""  # `type: attribute, …; …`: what a type of this shelf cannot be


SHELVES = (
    Shelf(
        ("clothing", "shoes"),
        "ankle boot 45-120; running shoe 40-110; canvas sneaker 25-70; garden clog 15-45; "
        "walking sandal 20-65",
        "non slip; memory foam; arch support; waterproof; lightweight; rubber sole; wide toe box; "
        "vegan leather; lace up closure; fast drying",
        {"color": COLORS, "size": "6|6.5|7|7.5|8|8.5|9|9.5|10|11".split("|")},
        "women; men; nurses; hikers",
        "tightly woven canvas; felted wool; soft nubuck; knitted mesh",
        "running shoe: vegan leather; garden clog: lace up closure, vegan leather; "
        "walking sandal: lace up closure, waterproof",
    ),
    Shelf(
        ("clothing", "tops"),
        "crew neck tee 9-30; flannel shirt 20-60; zip hoodie 25-70; rain jacket 40-130; "
        "knit cardigan 25-85",
        "machine washable; long sleeve; moisture wicking; organic cotton; loose fit; "
        "wrinkle resistant; fleece lined; stretch fabric; uv protection; lightweight",
        {"color": COLORS, "size": CLOTHES, "fit": ["regular", "tall", "petite"]},
        "women; men; teens; travellers",
        "brushed twill; fine merino; a linen blend; ripstop cloth",
        "crew neck tee: fleece lined, wrinkle resistant; "
        "rain jacket: organic cotton, fleece lined; "
        "knit cardigan: uv protection, wrinkle resistant",
    ),
    Shelf(
        ("beauty", "skin care"),
        "face cream 9-48; body lotion 6-30; clay mask 8-35; lip balm 3-14; sun stick 8-28",
        "fragrance free; cruelty free; paraben free; hyaluronic acid; shea butter; "
        "sensitive skin; oil free; vitamin c; alcohol free; dermatologist tested",
        {
            "scent": "unscented|rosewater|green tea|citrus|sandalwood".split("|"),
            "size": "0.5 ounce|1 ounce|2 ounce|4 ounce|8 ounce".split("|"),
        },
        "dry cheeks; cold winters; long nights; swimmers",
        "oat milk; cold pressed jojoba; white clay; calendula petals",
        "clay mask: shea butter, hyaluronic acid; lip balm: oil free, hyaluronic acid; "
        "sun stick: vitamin c",
    ),
    Shelf(
        ("beauty", "hair care"),
        "shampoo bar 6-22; curl cream 9-34; styling gel 5-20; hair mask 8-36; scalp oil 9-40",
        "sulfate free; paraben free; cruelty free; heat protection; curl defining; plant based; "
        "alcohol free; fragrance free; shea butter; tangle free",
        {
            "scent": "unscented|coconut|peppermint|fig|black tea".split("|"),
            "size": "2 ounce|5 ounce|8 ounce|12 ounce".split("|"),
            "quantity": PACKS[:3],
        },
        "fine hair; thick hair; swimmers; children",
        "nettle extract; flax seed; argan kernels; rice water",
        "shampoo bar: heat protection, curl defining; scalp oil: sulfate free, heat protection; "
        "styling gel: shea butter",
    ),
    Shelf(
        ("electronics", "audio"),
        "bluetooth speaker 20-120; over ear headset 30-190; clip on earbud set 18-90; "
        "desktop soundbar 35-150; pocket radio 14-60",
        "noise cancelling; fast charging; waterproof; hands free calls; deep bass; low latency; "
        "voice control; usb c port; touch control; nfc enabled; lightweight",
        {"color": COLORS[:8], "style": "single|with carry case|with wall charger".split("|")},
        "commuters; joggers; home offices; students",
        "a matte shell; woven grille cloth; brushed aluminium; soft silicone",
        "bluetooth speaker: noise cancelling; desktop soundbar: noise cancelling, waterproof; "
        "pocket radio: noise cancelling, hands free calls, low latency; "
        "over ear headset: waterproof",
    ),
    Shelf(
        ("electronics", "accessories"),
        "phone case 7-40; charging cable 6-28; laptop sleeve 12-48; power bank 18-75; "
        "tablet stand 11-45",
        "fast charging; shock absorbing; scratch resistant; ultra slim; tangle free; usb c port; "
        "wireless; folds flat; heat resistant; non slip; easy to clean",
        {
            "color": COLORS[:10],
            "pattern": "plain|striped|marbled|dotted|checked".split("|"),
        },
        "commuters; students; drivers; children",
        "braided nylon; frosted resin; neoprene; pressed felt",
        "phone case: fast charging, tangle free, usb c port, folds flat, wireless; "
        "charging cable: wireless, folds flat, shock absorbing, non slip, easy to clean; "
        "laptop sleeve: fast charging, wireless, usb c port, tangle free, heat resistant; "
        "power bank: tangle free, folds flat; tablet stand: fast charging, tangle free, usb c port",
    ),
    Shelf(
        ("home", "furniture"),
        "side table 35-160; bookcase 60-260; office chair 80-320; bar stool 45-180; "
        "storage bench 70-240",
        "easy assembly; solid wood; height adjustable; space saving; scratch resistant; "
        "steel frame; adjustable feet; hidden storage; lumbar support; stackable",
        {"finish": WOODS, "width": "14 inch|18 inch|24 inch|30 inch|36 inch".split("|")},
        "small flats; hallways; home offices; children",
        "powder coated tube; rubberwood; bamboo board; ash slats",
        "side table: lumbar support; bookcase: height adjustable, lumbar support, stackable; "
        "office chair: solid wood, hidden storage, stackable; bar stool: hidden storage; "
        "storage bench: height adjustable, stackable, lumbar support",
    ),
    Shelf(
        ("home", "bedding"),
        "duvet cover 25-110; bed pillow 15-70; throw blanket 18-80; fitted sheet 15-65; "
        "mattress topper 60-240",
        "machine washable; hypoallergenic; breathable; organic cotton; wrinkle resistant; "
        "memory foam; deep pockets; fade resistant; extra thick; moisture wicking",
        {"color": COLORS, "size": BEDS, "set": ["single piece", "set of 2", "set of 4"]},
        "side sleepers; guests; children; hot summers",
        "washed percale; bamboo viscose; crinkled gauze; tencel sateen",
        "duvet cover: memory foam, deep pockets, extra thick; bed pillow: deep pockets; "
        "throw blanket: memory foam, deep pockets; fitted sheet: memory foam, extra thick; "
        "mattress topper: wrinkle resistant, fade resistant",
    ),
    Shelf(
        ("home", "bath"),
        "shower curtain 12-48; bath mat 10-42; hand towel 6-26; soap dispenser 9-35; "
        "laundry basket 16-60",
        "machine washable; fast drying; non slip; rust resistant; refillable; extra thick; "
        "fade resistant; organic cotton; folds flat; easy to clean; space saving",
        {"color": COLORS, "size": "small|standard|large".split("|"), "quantity": PACKS[:4]},
        "guests; small flats; families; hotels",
        "waffle weave; glazed stoneware; jute rope; chenille loops",
        "shower curtain: refillable, non slip, folds flat; bath mat: refillable, rust resistant; "
        "hand towel: refillable, rust resistant, non slip, folds flat; "
        "soap dispenser: machine washable, organic cotton, extra thick, folds flat, fast drying; "
        "laundry basket: refillable, extra thick, fast drying",
    ),
    Shelf(
        ("kitchen", "cookware"),
        "chef knife 18-95; sauce pan 22-110; water bottle 10-45; storage jar 8-36; "
        "baking tray 12-50",
        "dishwasher safe; bpa free; non stick; stainless steel; oven safe; leak proof; "
        "heat resistant; induction ready; double walled; easy to clean; stackable",
        {
            "color": COLORS[:9],
            "size": "small|medium|large|extra large".split("|"),
            "set": ["single piece", "set of 2", "set of 3", "set of 5"],
        },
        "small kitchens; campers; home bakers; students",
        "borosilicate glass; carbon alloy; speckled enamel; silicone rims",
        "chef knife: bpa free, leak proof, induction ready, double walled, stackable, non stick; "
        "sauce pan: bpa free, leak proof; storage jar: induction ready, non stick; "
        "water bottle: induction ready, non stick, oven safe, stackable; "
        "baking tray: leak proof, induction ready, double walled, bpa free",
    ),
    Shelf(
        ("grocery", "pantry"),
        "maple granola 5-22; ground coffee 7-30; trail mix 6-26; fruit tea 4-18; "
        "pasta sauce 4-20; dark chocolate 4-24",
        "gluten free; sugar free; non gmo; plant based; low sodium; high protein; "
        "keto friendly; nut free; no artificial colors",
        {
            "flavor": "original|mild|rich|smoky|sweet|spiced".split("|"),
            "size": "4 ounce|8 ounce|12 ounce|16 ounce|32 ounce".split("|"),
            "quantity": PACKS,
        },
        "breakfast; lunch boxes; long hikes; gift baskets",
        "small batch harvests; slow roasted beans; sun dried fruit; toasted seeds",
        "ground coffee: high protein, low sodium; "
        "fruit tea: high protein, low sodium, keto friendly; "
        "pasta sauce: high protein; maple granola: keto friendly",
    ),
    Shelf(
        ("outdoors", "camping"),
        "camping lantern 14-60; folding chair 22-95; yoga mat 15-70; trekking pole 20-85; "
        "parachute hammock 20-80; garden hose 18-75",
        "waterproof; lightweight; extra thick; non slip; rust resistant; tear resistant; "
        "folds flat; height adjustable; uv protection; easy to clean; quick release",
        {"color": COLORS, "length": "short|regular|long|extra long".split("|")},
        "beginners; families; hikers; balconies",
        "ripstop nylon; cork granules; anodised tube; woven polyester",
        "camping lantern: tear resistant, extra thick, uv protection, folds flat; "
        "folding chair: extra thick, quick release, height adjustable; "
        "yoga mat: rust resistant, height adjustable, quick release, waterproof; "
        "trekking pole: extra thick, tear resistant, easy to clean; "
        "parachute hammock: rust resistant, height adjustable, non slip, extra thick; "
        "garden hose: height adjustable, non slip, folds flat, waterproof",
    ),
    Shelf(
        ("pets", "supplies"),
        "dog bed 22-110; cat tree 35-160; dog leash 8-36; pet bowl 7-32; litter scoop 5-22",
        "machine washable; non slip; dishwasher safe; puncture resistant; reflective strip; "
        "quick release; low odor; stainless steel; memory foam; easy assembly",
        {"color": COLORS, "pet size": "toy breed|small|medium|large|giant breed".split("|")},
        "small flats; travellers; families; nervous animals",
        "sisal cord; tightly sewn canvas; cast resin; corduroy",
        "dog bed: dishwasher safe, reflective strip, quick release, stainless steel; "
        "cat tree: dishwasher safe, reflective strip, quick release, stainless steel, memory foam; "
        "dog leash: dishwasher safe, memory foam, easy assembly, stainless steel; "
        "pet bowl: machine washable, memory foam, reflective strip, puncture resistant; "
        "litter scoop: machine washable, memory foam, reflective strip, puncture resistant",
    ),
    Shelf(
        ("office", "stationery"),
        "dotted notebook 6-28; gel pen 3-18; desk organizer 12-50; desk lamp 18-85; "
        "wall planner 7-32",
        "recycled paper; smear proof; refillable; height adjustable; usb c port; touch control; "
        "space saving; non slip; stackable; lightweight; ultra slim",
        {
            "color": COLORS,
            "style": "plain|patterned|engraved".split("|"),
            "quantity": PACKS[:4],
        },
        "students; left handers; teachers; home offices",
        "linen board; powder coated wire; cream stock; beech offcuts",
        "dotted notebook: height adjustable, usb c port, touch control, stackable, space saving; "
        "gel pen: recycled paper, height adjustable, usb c port, touch control, stackable; "
        "desk organizer: recycled paper, smear proof, touch control, height adjustable; "
        "desk lamp: recycled paper, smear proof, refillable, stackable; "
        "wall planner: height adjustable, usb c port, touch control, stackable, non slip",
    ),
)
