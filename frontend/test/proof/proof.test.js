/** The built page, the real server, Python and a trained version, in Chromium. All tests share one shop, because training takes its time. */
import { setUp } from '../browser/setUp.js';
import { faultTests } from './faults.js';
import { journeyTests } from './journey.js';
import { pageTests } from './pages.js';
import { RealShop, missing } from './realShop.js';

const { mock: shop, browserTest } = setUp({ start: RealShop.start, missing, timeout: 240_000, patience: 30_000 });

journeyTests({ shop, browserTest });
faultTests({ shop, browserTest });
pageTests({ shop, browserTest });
