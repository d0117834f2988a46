"""The demo shop's categories, brands and product lines, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

CATEGORIES = {
    "cameras": "Cameras",
    "lenses": "Lenses & camera gear",
    "audio": "Audio",
    "coffee": "Coffee & tea",
    "kitchen": "Kitchen",
    "running": "Running",
    "outdoor": "Outdoor",
    "winter": "Winter wear",
    "skincare": "Skin care",
    "stationery": "Stationery",
}

BRANDS = {
    "halden": "Halden",
    "orvello": "Orvello",
    "tessera": "Tessera",
    "kumori": "Kumori",
    "brisa": "Brisa",
    "monte-alba": "Monte Alba",
    "nordkam": "Nordkam",
    "stridewell": "Stridewell",
    "aurinko": "Aurinko",
    "lumen": "Lumen Botanica",
    "saela": "Saela",
    "papyra": "Papyra",
}

BRANDS_OF_CATEGORY = {
    "cameras": ("halden", "orvello"),
    "lenses": ("halden", "orvello", "tessera"),
    "audio": ("orvello", "kumori"),
    "coffee": ("brisa", "monte-alba"),
    "kitchen": ("kumori", "brisa"),
    "running": ("stridewell", "aurinko"),
    "outdoor": ("nordkam", "tessera"),
    "winter": ("nordkam", "aurinko"),
    "skincare": ("lumen", "saela"),
    "stationery": ("papyra", "kumori"),
}


@dataclass(frozen=True)
class Line:
    """A kind of product.

    Attributes:
        key: Short, unique name; also the name of its picture.
        category: A key of CATEGORIES.
        noun: The part of the product's name after brand and model.
        price: Lowest and highest price of the line, in euros; the shop's prices are in đồng.
        models: Model names, the cheapest first.
        days: Days that one purchase lasts; 0 if it is purchased once only.
        season: The month (1–12) of most sales; 0 for none.
        bucket: The time of day with most views: night, morning, afternoon or evening; empty for none.
        complements: Lines that users view or purchase next.
    """

    key: str
    category: str
    noun: str
    price: tuple[float, float]
    models: tuple[str, ...]
    days: int = 0
    season: int = 0
    bucket: str = ""
    complements: tuple[str, ...] = ()


def _line(
    key: str, category: str, noun: str, low: float, high: float, models: str, complements: str = "", **more: int | str
) -> Line:
    names = tuple(name.strip() for name in models.split("|"))
    return Line(key, category, noun, (low, high), names, complements=tuple(complements.split()), **more)  # type: ignore[arg-type]


LINES = (
    _line(
        "mirrorless",
        "cameras",
        "Mirrorless Camera",
        599,
        2390,
        "M3|M5|X10|M7|X20|M9 Pro|R1",
        "prime zoom card bag tripod",
        bucket="evening",
    ),
    _line(
        "compact",
        "cameras",
        "Compact Camera",
        249,
        799,
        "Mini C|Pocket 20|Zoom 12|Traveller|Pocket 40|Street 28",
        "card bag",
        season=7,
    ),
    _line("instant", "cameras", "Instant Camera", 69, 149, "Snap|Joy|Party|Square|Retro 77", "film", season=12),
    _line("action", "cameras", "Action Camera", 149, 399, "Dash|Wave|Dive 2|Ride 4K|Summit", "card", season=7),
    _line(
        "prime",
        "lenses",
        "Lens",
        199,
        1190,
        "50 mm f/1.8|85 mm f/1.8|24 mm f/2|105 mm Macro|35 mm f/1.4",
        "filter_glass bag tripod",
        bucket="evening",
    ),
    _line(
        "zoom",
        "lenses",
        "Zoom Lens",
        349,
        1690,
        "28–75 mm|16–35 mm f/4|70–200 mm f/4|24–70 mm f/2.8|100–400 mm",
        "filter_glass tripod bag",
    ),
    _line("tripod", "lenses", "Tripod", 39, 299, "Mini|Monopod|Trek|Studio|Travel Carbon", "bag"),
    _line("card", "lenses", "Memory Card", 12, 89, "32 GB|64 GB|128 GB|256 GB|512 GB", days=150),
    _line("bag", "lenses", "Camera Bag", 39, 189, "Holster|Sling 5|Messenger 9|Backpack 20|Roll-top 25"),
    _line("film", "lenses", "Instant Film", 14, 27, "Monochrome 10|Colour 20|Pastel 20|Colour 40", days=35),
    _line("filter_glass", "lenses", "Lens Filter", 19, 99, "UV Clear|ND 8|Polariser|Black Mist"),
    _line(
        "headphones",
        "audio",
        "Headphones",
        79,
        399,
        "Session|Studio 300|Oak|Quiet Air|Quiet Pro",
        "amplifier",
        bucket="evening",
    ),
    _line("earbuds", "audio", "Earbuds", 39, 229, "Dots|Run|Mellow|Commute|Dots Pro", "road_shoes", bucket="morning"),
    _line("speaker", "audio", "Speaker", 59, 499, "Cube|Picnic|Shelf 5|Shelf 8|Column", "turntable", bucket="evening"),
    _line(
        "turntable",
        "audio",
        "Turntable",
        189,
        690,
        "Belt One|Belt Two|Direct|Walnut",
        "speaker record_brush amplifier",
        bucket="evening",
        season=12,
    ),
    _line(
        "amplifier",
        "audio",
        "Amplifier",
        99,
        549,
        "Phono|Desk A1|Desk A3|Valve 2",
        "headphones speaker",
        bucket="evening",
    ),
    _line("record_brush", "audio", "Record Cleaning Kit", 15, 39, "Carbon|Velvet|Wet & Dry", days=120),
    _line(
        "beans",
        "coffee",
        "Coffee Beans, 500 g",
        11,
        24,
        "House Espresso|Decaf|Huila|Antigua|Sidamo|Mandheling|Yirgacheffe",
        "paper grinder",
        days=24,
        bucket="morning",
    ),
    _line(
        "tea",
        "coffee",
        "Loose Tea, 100 g",
        8,
        29,
        "Peppermint|Rooibos|Earl Grey|Sencha|Oolong|Darjeeling",
        "teapot mug",
        days=40,
        bucket="afternoon",
        season=1,
    ),
    _line(
        "cold_brew",
        "coffee",
        "Cold Brew, 6 bottles",
        14,
        26,
        "Classic|Vanilla|Oat",
        days=18,
        season=7,
        bucket="afternoon",
    ),
    _line(
        "paper",
        "coffee",
        "Filter Papers, 100 pieces",
        5,
        12,
        "Size 02|Size 04|Unbleached 02",
        days=45,
        bucket="morning",
    ),
    _line(
        "grinder",
        "kitchen",
        "Coffee Grinder",
        49,
        349,
        "Hand Mill|Burr 40|Burr 60|Silent",
        "beans dripper",
        bucket="morning",
    ),
    _line(
        "dripper",
        "kitchen",
        "Pour-over Dripper",
        15,
        59,
        "Glass|Ceramic|Steel|Copper",
        "paper kettle beans",
        bucket="morning",
    ),
    _line("kettle", "kitchen", "Kettle", 39, 179, "Classic|Enamel|Gooseneck|Variable", "dripper teapot"),
    _line(
        "espresso",
        "kitchen",
        "Espresso Machine",
        199,
        1290,
        "Piccola|Doppia|Leva|Automatica",
        "beans grinder mug",
        bucket="morning",
        season=12,
    ),
    _line("teapot", "kitchen", "Teapot", 25, 89, "Glass|Stoneware|Porcelain|Cast Iron", "tea mug", season=12),
    _line("mug", "kitchen", "Mug", 9, 29, "Ivory|Slate|Tall|Speckled|Set of Two", "tea beans", season=12),
    _line(
        "road_shoes",
        "running",
        "Road Running Shoes",
        79,
        199,
        "Daily 4|Tempo|Cloudline|Tempo Light|Marathon",
        "running_socks running_shirt gels",
        days=140,
        season=4,
    ),
    _line(
        "trail_shoes",
        "running",
        "Trail Running Shoes",
        89,
        189,
        "Moss|Ridge|Scree|Fell GTX",
        "running_socks gels headlamp",
        days=160,
        season=6,
    ),
    _line("watch", "running", "Running Watch", 129, 549, "Pace|Pace Pro|Solar|Ultra", "road_shoes gels", season=1),
    _line(
        "running_shirt", "running", "Running Shirt", 25, 69, "Breeze|Long Sleeve|Race|Merino", "running_socks", season=5
    ),
    _line("running_socks", "running", "Running Socks", 9, 24, "Ankle|Crew|Toe|Compression", days=75),
    _line("gels", "running", "Energy Gels, 12 pieces", 15, 32, "Citrus|Cola|Salted Caramel|Berry", days=25, season=5),
    _line(
        "tent",
        "outdoor",
        "Tent",
        149,
        690,
        "Fjord 2|Fjord 3|Basecamp 4|Ultralight 1",
        "sleeping_bag stove headlamp",
        season=6,
    ),
    _line(
        "sleeping_bag", "outdoor", "Sleeping Bag", 79, 390, "Summer|Three Season|Down 300|Down 600", "tent", season=6
    ),
    _line("stove", "outdoor", "Camping Stove", 35, 149, "Spark|Wood|Duo|Spider", "gas", season=6),
    _line("gas", "outdoor", "Gas Cartridge", 6, 14, "100 g|230 g|450 g", days=30, season=7),
    _line("backpack", "outdoor", "Trekking Backpack", 79, 269, "25 L|35 L|50 L|65 L", "headlamp tent", season=5),
    _line("headlamp", "outdoor", "Headlamp", 25, 99, "Mini|200|400|Trail 600", "gels", season=11, bucket="evening"),
    _line(
        "jacket",
        "winter",
        "Winter Jacket",
        129,
        449,
        "Bjørk|City Parka|Polar|Down Hood|Glacier",
        "gloves beanie base_layer",
        season=12,
    ),
    _line("base_layer", "winter", "Base Layer", 39, 99, "Light|Half-zip|Merino 200|Merino 260", "wool_socks", season=1),
    _line("gloves", "winter", "Gloves", 19, 89, "Wool|Touch|Mitten|Summit", "beanie", season=12),
    _line("beanie", "winter", "Beanie", 15, 45, "Rib|Pompom|Fisherman|Cashmere", "gloves", season=12),
    _line("wool_socks", "winter", "Wool Socks", 11, 28, "Light|Cabin|Hiker|Nordic", days=110, season=12),
    _line(
        "cleanser",
        "skincare",
        "Cleanser, 150 ml",
        9,
        32,
        "Oat Milk|Green Clay|Chamomile|Foaming",
        "cream serum",
        days=42,
        bucket="night",
    ),
    _line(
        "cream",
        "skincare",
        "Face Cream, 50 ml",
        14,
        69,
        "Gel|Calm|Rich|Barrier|Night",
        "serum cleanser",
        days=45,
        season=1,
        bucket="night",
    ),
    _line(
        "serum",
        "skincare",
        "Serum, 30 ml",
        18,
        79,
        "Hyaluronic|Niacinamide|Vitamin C|Retinal",
        "cream",
        days=50,
        bucket="night",
    ),
    _line(
        "sunscreen",
        "skincare",
        "Sunscreen SPF 50",
        12,
        35,
        "Fluid|Mineral|Sport|Tinted",
        "lip_balm",
        days=28,
        season=7,
        bucket="morning",
    ),
    _line("lip_balm", "skincare", "Lip Balm", 4, 14, "Honey|Mint|Unscented", days=45, season=1),
    _line(
        "pen",
        "stationery",
        "Fountain Pen",
        25,
        240,
        "Scholar|Pocket|Demonstrator|Ebonite|Maestro",
        "ink notebook",
        bucket="afternoon",
    ),
    _line(
        "ink",
        "stationery",
        "Ink, 50 ml",
        8,
        29,
        "Midnight|Moss|Sepia|Cherry|Teal",
        "notebook pen",
        days=60,
        bucket="afternoon",
    ),
    _line(
        "notebook", "stationery", "Notebook", 7, 35, "Dotted A5|Ruled A5|Blank A6|Sketch A4", "pen", days=50, season=9
    ),
    _line("planner", "stationery", "Planner", 15, 45, "Weekly|Daily|Academic", "pen notebook", days=365, season=12),
    _line("organiser", "stationery", "Desk Organiser", 19, 79, "Steel|Ash|Walnut", "pen", season=9),
)
EDITIONS = ("", "Black", "White", "Sand", "Forest", "Ocean", "Rust", "Plum", "Limited Edition", "Second Generation")
BATCHES = ("", "Organic", "Double Pack", "Winter Batch", "Travel Size", "Summer Batch", "Family Pack", "Limited Batch")
