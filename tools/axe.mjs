// Accessibility and size on a screen: node tools/axe.mjs NODE_MODULES CHROMIUM PAGE...
// Needs axe-core and puppeteer-core in NODE_MODULES. Prints one JSON line a page, width and colour scheme:
// violations of serious or critical impact, milliseconds until loaded, pixels by which the page is too wide, words of
// pictures that are cut off at the picture's edge, and pairs of words that are written over each other.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';

const [modules, chromium, ...pages] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), 'x.js'));
const puppeteer = require('puppeteer-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'density-axe-'));
const browser = await (puppeteer.default ?? puppeteer).launch({
  executablePath: chromium,
  userDataDir: profile,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  for (const file of pages) for (const width of [1280, 390]) for (const scheme of ['light', 'dark']) {
    const page = await browser.newPage();
    await page.setViewport({ width, height: 900 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    const requests = [];
    page.on('request', (r) => requests.push(r.url()));
    const begin = Date.now();
    await page.goto('file://' + path.resolve(file), { waitUntil: 'load', timeout: 50000 });
    const ms = Date.now() - begin;
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    const { cut, over } = await page.evaluate(() => {
      const cut = [], over = [];
      for (const svg of document.querySelectorAll('svg')) {
        const edge = svg.getBoundingClientRect();
        const words = [...svg.querySelectorAll('text')].map((t) => [t.textContent, t.getBoundingClientRect()])
          .filter(([, r]) => r.width > 0);
        for (const [text, r] of words)
          if (r.left < edge.left - 2 || r.right > edge.right + 2 || r.top < edge.top - 2 || r.bottom > edge.bottom + 2)
            cut.push(text);
        words.forEach(([text, r], index) => {
          for (const [other, o] of words.slice(index + 1)) {
            const x = Math.min(r.right, o.right) - Math.max(r.left, o.left);
            const y = Math.min(r.bottom, o.bottom) - Math.max(r.top, o.top);
            if (x > 2 && y > 0.5 * Math.min(r.height, o.height)) over.push(`${text} / ${other}`);
          }
        });
      }
      return { cut, over };
    });
    let violations = [];
    if (!process.env.NO_AXE) {
      await page.evaluate(axe);
      const result = await page.evaluate(() => axe.run());
      violations = result.violations.filter((v) => ['serious', 'critical'].includes(v.impact))
        .map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 160)}`);
    }
    console.log(JSON.stringify({ file, width, scheme, ms, wide, requests: requests.length, cut, over, violations }));
    await page.close();
  }
} finally {
  await browser.close();
  fs.rmSync(profile, { recursive: true, force: true });
}
