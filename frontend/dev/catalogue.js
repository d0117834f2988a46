/** Forty products of the demo shop, with prices in đồng, and their pictures. */
import { readFileSync } from 'node:fs';

const DRAWINGS = new URL('../../demo/glyphs.txt', import.meta.url);

export const CATEGORIES = {
  cameras: { name: 'Cameras', hue: 214 },
  lenses: { name: 'Lenses & camera gear', hue: 258 },
  audio: { name: 'Audio', hue: 292 },
  coffee: { name: 'Coffee & tea', hue: 24 },
  kitchen: { name: 'Kitchen', hue: 44 },
  running: { name: 'Running', hue: 350 },
  outdoor: { name: 'Outdoor', hue: 138 },
  winter: { name: 'Winter wear', hue: 198 },
  skincare: { name: 'Skin care', hue: 326 },
  stationery: { name: 'Stationery', hue: 168 },
};

// drawing | category | brand | name without its brand | price | reduced price | stars | reviews
const ROWS = `
mirrorless|cameras|Halden|M5 Mirrorless Camera|18990000||4.6|83
dripper|kitchen|Kumori|Ceramic Pour-over Dripper|690000||4.8|212
road_shoes|running|Stridewell|Cloudline Road Running Shoes|3290000|2790000|4.4|156
pen|stationery|Papyra|Demonstrator Fountain Pen|1450000||4.7|64
backpack|outdoor|Nordkam|35 L Trekking Backpack|3190000||4.5|97
beans|coffee|Monte Alba|Huila Coffee Beans, 500 g|389000||4.9|341
headphones|audio|Orvello|Quiet Air Headphones|5490000|4390000|4.2|118
serum|skincare|Lumen Botanica|Vitamin C Serum, 30 ml|890000||4.1|76
jacket|winter|Nordkam|City Parka Winter Jacket|5990000|4190000|4.6|52
prime|lenses|Tessera|50 mm f/1.8 Lens|5290000||4.8|129
compact|cameras|Orvello|Traveller Compact Camera|9490000||3.9|31
teapot|kitchen|Brisa|Stoneware Teapot|990000||4.6|88
trail_shoes|running|Aurinko|Ridge Trail Running Shoes|3490000||4.3|73
notebook|stationery|Kumori|Dotted A5 Notebook|290000||4.8|402
tent|outdoor|Tessera|Fjord 2 Tent|8990000|7190000|4.7|44
tea|coffee|Brisa|Oolong Loose Tea, 100 g|420000||4.5|136
turntable|audio|Kumori|Walnut Turntable|15900000||4.9|27
cream|skincare|Saela|Barrier Face Cream, 50 ml|650000||4.0|91
beanie|winter|Aurinko|Fisherman Beanie|590000|490000|4.4|67
tripod|lenses|Halden|Travel Carbon Tripod|6290000||4.5|38
instant|cameras|Halden|Retro 77 Instant Camera|3390000||4.2|143
espresso|kitchen|Brisa|Leva Espresso Machine|24900000|21900000|4.7|19
watch|running|Stridewell|Pace Pro Running Watch|7490000||4.1|85
planner|stationery|Papyra|Weekly Planner|520000||3.8|58
sleeping_bag|outdoor|Nordkam|Three Season Sleeping Bag|3890000||4.6|41
cold_brew|coffee|Monte Alba|Oat Cold Brew, 6 bottles|460000||4.0|49
speaker|audio|Orvello|Shelf 5 Speaker|4990000||4.3|62
sunscreen|skincare|Lumen Botanica|Mineral Sunscreen SPF 50|450000|390000|4.5|187
gloves|winter|Nordkam|Summit Gloves|1590000||4.2|33
bag|lenses|Tessera|Messenger 9 Camera Bag|2490000||4.4|56
action|cameras|Orvello|Dive 2 Action Camera|6990000||3.7|22
kettle|kitchen|Kumori|Gooseneck Kettle|2190000|1890000|4.8|174
running_shirt|running|Aurinko|Merino Running Shirt|1490000||4.4|39
ink|stationery|Papyra|Moss Ink, 50 ml|340000||4.9|94
stove|outdoor|Tessera|Wood Camping Stove|1890000||4.1|28
grinder|kitchen|Brisa|Burr 60 Coffee Grinder|4790000||4.6|111
earbuds|audio|Kumori|Commute Earbuds|2690000||3.9|204
lip_balm|skincare|Saela|Honey Lip Balm|120000||4.7|266
wool_socks|winter|Aurinko|Cabin Wool Socks|390000||4.8|151
card|lenses|Halden|128 GB Memory Card|750000|590000|4.5|320
`;

const PRAISE = {
  cameras: 'Made for pictures that are worth keeping.',
  lenses: 'The part of the picture that you never see.',
  audio: 'Sound that leaves room for the music.',
  coffee: 'Packed in small batches, shipped within the week.',
  kitchen: 'A quiet helper for every morning.',
  running: 'Light, and made to last until the last kilometre.',
  outdoor: 'Tested where the path ends.',
  winter: 'Warm when the weather is not.',
  skincare: 'Gentle ingredients, and few of them.',
  stationery: 'For everyone who still thinks with a pen.',
};

/** Return the products as the server would answer with them, and with `drawing`, which it would not. */
export function catalogue() {
  return ROWS.trim()
    .split('\n')
    .map((row, index) => {
      const [drawing, categoryId, brand, name, price, reduced, stars, reviews] = row.split('|');
      const id = index + 1;
      return {
        id,
        name: `${brand} ${name}`,
        categoryId,
        category: CATEGORIES[categoryId].name,
        brandId: brand.toLowerCase().replaceAll(' ', '-'),
        brand,
        description: PRAISE[categoryId],
        originalPrice: Number(price),
        discountPrice: reduced ? Number(reduced) : null,
        price: Number(reduced || price),
        image: `/api/products/${id}/image`,
        stars: Number(stars),
        reviews: Number(reviews),
        isNew: id % 7 === 0,
        drawing,
      };
    });
}

/**
 * Return a product's picture as SVG, in the manner of demo/pictures.py.
 *
 * @param {{id: number, brand: string, categoryId: string, drawing: string}} product
 */
export function picture({ id, brand, categoryId, drawing }) {
  const { hue } = CATEGORIES[categoryId];
  const main = (hue + [0, 30, 180, 150][id % 4]) % 360;
  const colours = { m: `hsl(${main} 48% 51%)`, d: `hsl(${main} 30% 22%)`, l: `hsl(${main} 25% 94%)`, a: `hsl(${main + 180} 72% 58%)` };
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="640" height="640">
<defs><linearGradient id="g" x1="0" y1="0" x2="0.3" y2="1"><stop offset="0" stop-color="hsl(${hue} 45% 93%)"/><stop offset="1" stop-color="hsl(${hue + 14} 45% 80%)"/></linearGradient></defs>
<rect width="100" height="100" fill="url(#g)"/><circle cx="50" cy="48" r="39" fill="#fff" opacity="0.38"/><ellipse cx="50" cy="84" rx="27" ry="3.2" opacity="0.12"/>
<g transform="translate(50 48) rotate(${(id % 9) - 4}) scale(0.74) translate(-50 -50)" stroke-linejoin="round">${drawings()[drawing].map((shape) => element(shape, colours)).join('')}</g>
<text x="50" y="95" text-anchor="middle" font-family="Helvetica, Arial, sans-serif" font-size="4.4" letter-spacing="0.9" fill="hsl(${hue} 45% 30%)">${brand.toUpperCase()}</text></svg>`;
}

/** Return the shapes of each drawing, in the notation that glyphs.txt explains. */
function drawings() {
  const byName = {};
  let shapes = [];
  for (const line of readFileSync(DRAWINGS, 'utf8').split('\n')) {
    if (line.startsWith(' ')) shapes.push(line.trim());
    else if (line && !line.startsWith('#')) shapes = byName[line] = [];
  }
  return byName;
}

function element(shape, colours) {
  const [kind, ...rest] = shape.split(' ');
  const fill = colours[rest.at(-1)];
  if (kind === 'r') return `<rect x="${rest[0]}" y="${rest[1]}" width="${rest[2]}" height="${rest[3]}" rx="${rest[4]}" fill="${fill}"/>`;
  if (kind === 'c') return `<circle cx="${rest[0]}" cy="${rest[1]}" r="${rest[2]}" fill="${fill}"/>`;
  if (kind === 'e') return `<ellipse cx="${rest[0]}" cy="${rest[1]}" rx="${rest[2]}" ry="${rest[3]}" fill="${fill}"/>`;
  if (kind === 'p') return `<path d="${rest.slice(1).join(' ')}" fill="${colours[rest[0]]}"/>`;
  return `<path d="${rest.slice(2).join(' ')}" fill="none" stroke="${colours[rest[0]]}" stroke-width="${rest[1]}" stroke-linecap="round"/>`;
}
