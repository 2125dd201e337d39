'use strict';
// The page in three parts: what is known (data, decisions), what is shown (order, filters), and cards that are
// filled when they come near the screen. Names reach the document as text only.

const data = JSON.parse(document.getElementById('data').textContent);
const byId = id => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';
const SMALL_PX = 32 * 32, LARGE_PX = 96 * 96;

function element(name, attributes = {}, ...children) {
  const made = attributes.svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (key !== 'svg' && value != null) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
const drawn = (name, attributes, ...children) => element(name, {svg: true, ...attributes}, ...children);
const counted = count => `${count} ${count === 1 ? 'mask' : 'masks'}`;
const bdi = name => element('bdi', {}, name); // names may be written from right to left
const number = (value, digits) => value == null ? '–' : value.toFixed(digits);

// ---- decisions: by mask, kept in the browser; those on other proposals than these are dropped ----
const store = 'mmrefine review ' + data.identity;
const idOf = mask => JSON.stringify([data.images[mask.image].key, mask.index, data.images[mask.image].proposals]);
let decisions = new Map(), history = [];
try { decisions = new Map(JSON.parse(localStorage.getItem(store) || '[]')); } catch { /* no storage: until the page is left */ }
const byKey = new Map(data.masks.map(mask => [idOf(mask), mask]));
for (const id of decisions.keys()) if (!byKey.has(id)) decisions.delete(id);
history = [...decisions.keys()].map(id => [id, undefined]);

const isAccepted = mask => decisions.get(idOf(mask)) ?? mask.accepted;
const finalOf = mask => isAccepted(mask) && mask.proposed ? mask.proposed : mask.coarse;

function decide(mask, accepted) {
  if (!mask || !mask.possible) return;
  const id = idOf(mask), before = decisions.get(id);
  if (isAccepted(mask) === accepted && before !== undefined) return;
  history.push([id, before]);
  decisions.set(id, accepted);
  decided(mask);
}

function undo() {
  if (!history.length) return;
  const [id, before] = history.pop();
  if (before === undefined) decisions.delete(id); else decisions.set(id, before);
  decided(byKey.get(id));
  setCurrent(byKey.get(id));
}

function decided(mask) {
  try { localStorage.setItem(store, JSON.stringify([...decisions])); } catch { /* as above */ }
  if (mask.card.filled) fillVerdict(mask);
  counts();
}

function exportDecisions() {
  const content = {}, proposals = {};
  for (const [id, accepted] of decisions) {
    const [key, index, digest] = JSON.parse(id);
    (content[key] ??= {})[index] = accepted;
    proposals[key] = digest;
  }
  const text = JSON.stringify({kind: 'mmrefine decisions', review: data.identity, decisions: content, proposals}, null, 1);
  const url = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
  const link = element('a', {href: url, download: 'decisions.json'});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// ---- order and filters ----
const filters = {
  verdict: (mask, value) => value === 'mine' ? decisions.has(idOf(mask)) : isAccepted(mask) === (value === 'accepted'),
  category: (mask, value) => mask.category === value.slice(1),
  size: (mask, value) => value === (mask.area < SMALL_PX ? 'small' : mask.area < LARGE_PX ? 'medium' : 'large'),
  search: (mask, value) => (data.images[mask.image].name + ' ' + mask.name + ' ' + mask.category).toLowerCase().includes(value.toLowerCase()),
};
let shown = [], current = null;

function arrange() {
  const active = Object.entries(filters).filter(([id]) => byId(id).value !== '');
  shown = data.masks.filter(mask => active.every(([id, keeps]) => keeps(mask, byId(id).value)));
  const key = byId('sort').value, sign = byId('rising').checked ? 1 : -1;
  byId('rising').disabled = key === 'order';
  if (key !== 'order') shown.sort((a, b) => a[key] == null ? 1 : b[key] == null ? -1 : sign * (a[key] - b[key]));
  byId('gallery').replaceChildren(...shown.map(mask => mask.card));
  counts();
}

function counts() {
  const masks = byId('gallery').hidden ? data.masks : shown, accepted = masks.filter(isAccepted).length;
  byId('counts').textContent = (masks.length === data.masks.length ? counted(masks.length) :
    `${masks.length} of ${data.masks.length} masks`) + ` · ${accepted} accepted · ${masks.length - accepted} kept`;
  byId('nothing').hidden = masks.length > 0;
  byId('decided').textContent = decisions.size;
  byId('undo').disabled = !history.length;
}

// ---- cards ----
const label = mask => `mask ${mask.name} of ${data.images[mask.image].name}`;

function paths(mask, id) {
  const both = mask.coarse + mask.proposed;
  const clip = (name, d) => drawn('clipPath', {id: `${name}-${id}`}, drawn('path', {d}));
  const before = drawn('g', {class: 'side'}), after = drawn('g', {class: 'side'});
  before.append(drawn('path', {class: 'coarse-line', d: mask.coarse}));
  if (mask.proposed) after.append(
    drawn('path', {class: 'gained', d: both, 'clip-path': `url(#p-${id})`}),
    drawn('path', {class: 'lost', d: both, 'clip-path': `url(#c-${id})`}),
    drawn('path', {class: 'proposed-line', d: mask.proposed}));
  const nodes = [clip('c', mask.coarse), clip('p', mask.proposed), before, after];
  if (mask.truth) {
    before.append(drawn('path', {class: 'error', d: mask.coarse + mask.truth}));
    after.append(drawn('path', {class: 'error', d: (mask.proposed || mask.coarse) + mask.truth}));
    nodes.push(drawn('path', {class: 'truth-line under', d: mask.truth}), drawn('path', {class: 'truth-line', d: mask.truth}));
  }
  nodes.push(drawn('path', {class: 'final-line'}));
  return {nodes, before, after};
}

function fill(mask, id) {
  const [x, y, width, height] = mask.box, {nodes, before, after} = paths(mask, id);
  const left = drawn('rect', {x, y, height, width: 0}), right = drawn('rect', {x, y, height, width});
  const halves = drawn('defs', {}, drawn('clipPath', {id: `l-${id}`}, left), drawn('clipPath', {id: `r-${id}`}, right));
  before.setAttribute('clip-path', `url(#l-${id})`);
  after.setAttribute('clip-path', `url(#r-${id})`);
  const picture = drawn('svg', {viewBox: `${x} ${y} ${width} ${height}`, 'aria-hidden': 'true'},
    drawn('image', {href: mask.file, x, y, width, height, preserveAspectRatio: 'none'}), halves, ...nodes);
  const slider = element('input', {type: 'range', min: 0, max: 100, value: mask.possible ? 50 : 100, step: 2,
    'aria-label': `Before and after, ${label(mask)}: share that shows the coarse mask`});
  const divider = element('div', {class: 'divider', hidden: mask.possible ? null : ''});
  const figure = element('figure', {}, picture, element('span', {class: 'tag before'}, 'coarse'),
    element('span', {class: 'tag after'}, mask.possible ? 'proposed' : 'nothing proposed'), divider, slider);
  const slide = () => {
    // The picture is fitted into a square: the divider is where the share of the picture is.
    const share = slider.value / 100, fit = Math.min(1 / width, 1 / height), free = (1 - width * fit) / 2;
    left.setAttribute('width', width * share);
    right.setAttribute('x', x + width * share);
    right.setAttribute('width', width * (1 - share));
    divider.style.left = `${100 * (free + width * fit * share)}%`;
    slider.setAttribute('aria-valuetext', `${slider.value} percent coarse`);
  };
  const toPointer = event => {
    const box = figure.getBoundingClientRect(), fit = Math.min(1 / width, 1 / height), free = (1 - width * fit) / 2;
    slider.value = 100 * ((event.clientX - box.left) / box.width - free) / (width * fit);
    slide();
  };
  slider.addEventListener('input', slide);
  figure.addEventListener('pointerdown', event => {
    event.preventDefault();
    slider.focus({preventScroll: true});
    figure.setPointerCapture(event.pointerId);
    setCurrent(mask, false);
    toPointer(event);
  });
  figure.addEventListener('pointermove', event => { if (figure.hasPointerCapture(event.pointerId)) toPointer(event); });
  slide();

  const facts = [['score', number(mask.score, 2)], ['change', number(100 * mask.change, 1) + ' %'], ['area', `${mask.area.toLocaleString('en')} px`]];
  if (mask.gain != null) facts.splice(1, 0, ['expected gain', (mask.gain < 0 ? '' : '+') + number(mask.gain, 3)]);
  if (mask.iou) facts.push(['IoU', mask.iou.map(value => number(value && 100 * value, 1)).join(' → ')]);
  const button = (name, text, accepted) => {
    const made = element('button', {class: name, 'aria-label': `${text} ${label(mask)}`}, text);
    made.disabled = !mask.possible;
    made.addEventListener('click', () => { setCurrent(mask, false); decide(mask, accepted); });
    return made;
  };
  mask.card.replaceChildren(figure, element('div', {class: 'about'},
    element('h2', {}, bdi(data.images[mask.image].name), ' ', element('small', {}, bdi(mask.name), ' ', bdi(mask.category))),
    element('div', {class: 'verdict'}),
    element('dl', {}, ...facts.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value)))),
    element('div', {class: 'actions'}, button('accept', 'Accept', true), button('reject', 'Reject', false))));
  mask.card.filled = true;
  fillVerdict(mask);
}

function fillVerdict(mask) {
  const accepted = isAccepted(mask), mine = decisions.get(idOf(mask));
  const verdict = mask.card.querySelector('.verdict');
  verdict.classList.toggle('accepted', accepted);
  mask.card.querySelector('.final-line').setAttribute('d', finalOf(mask));
  verdict.textContent = mine !== undefined ? (accepted ? '✓ accepted by you' : '✕ kept by you') :
    accepted ? '✓ accepted' + (mask.decided ? ' by a reviewer' : '') : `✕ kept${mask.reason ? ': ' + mask.reason : ''}`;
  for (const [name, wanted] of [['accept', true], ['reject', false]])
    mask.card.querySelector('.' + name).setAttribute('aria-pressed', String(accepted === wanted));
}

const near = new IntersectionObserver(entries => {
  for (const {isIntersecting, target} of entries) if (isIntersecting) {
    near.unobserve(target);
    target.show();
  }
}, {rootMargin: '900px'});

data.masks.forEach((mask, id) => {
  mask.card = element('article', {tabindex: -1, 'aria-label': label(mask), 'data-mask': idOf(mask)});
  mask.card.show = () => { if (!mask.card.filled) fill(mask, id); };
  mask.card.addEventListener('focusin', () => setCurrent(mask, false));
  near.observe(mask.card);
});

// ---- whole images ----
// Cyan over blue to pink, and orange to yellow: green and red mean change.
const hueOf = index => {
  const place = (64 + index * 117) % 190;
  return `hsl(${place < 155 ? 170 + place : place - 127} 90% 62%)`;
};
const masksOf = data.images.map(() => []);
for (const mask of data.masks) masksOf[mask.image].push(mask);

function fillImages() {
  byId('images').replaceChildren(...data.images.map((image, place) => {
    const card = element('article', {'aria-label': image.name});
    card.show = () => {
      const outlines = masksOf[place].map((mask, index) => {
        const hue = hueOf(index);
        return drawn('path', {class: 'instance-line', d: finalOf(mask), stroke: hue, style: `fill: ${hue}`},
          drawn('title', {}, `${mask.name} ${mask.category}`));
      });
      const taken = masksOf[place].filter(isAccepted).length;
      card.replaceChildren(
        element('figure', {}, drawn('svg', {viewBox: `0 0 ${image.width} ${image.height}`, role: 'img', 'aria-label': `All final masks of ${image.name}`},
          drawn('image', {href: image.file, width: image.width, height: image.height, preserveAspectRatio: 'none'}), ...outlines)),
        element('div', {class: 'about'}, element('h2', {}, bdi(image.name), ' ',
          element('small', {}, `${counted(masksOf[place].length)}, ${taken} accepted`))));
    };
    near.observe(card);
    return card;
  }));
}

function view(name) {
  if (name === 'images') fillImages();
  for (const other of ['masks', 'images']) byId('view-' + other).setAttribute('aria-pressed', String(other === name));
  byId('gallery').hidden = name !== 'masks';
  byId('images').hidden = name !== 'images';
  for (const id of ['controls', 'filter', 'undo']) byId(id).hidden = name !== 'masks';
  counts();
}

// ---- keys ----
function setCurrent(mask, scroll = true) {
  current?.card.classList.remove('current');
  current = mask;
  mask.card.classList.add('current');
  if (!scroll) return;
  mask.card.show();
  mask.card.scrollIntoView({block: 'nearest'});
  mask.card.querySelector('input').focus({preventScroll: true});
}

function step(by) {
  if (!shown.length) return;
  const place = shown.indexOf(current);
  setCurrent(shown[place < 0 ? 0 : Math.min(Math.max(place + by, 0), shown.length - 1)]);
}

function accept(accepted) {
  if (!current) return;
  const place = shown.indexOf(current);
  decide(current, accepted);
  if (place >= 0 && place + 1 < shown.length) step(1);
}

const keys = {j: () => step(1), k: () => step(-1), a: () => accept(true), r: () => accept(false), u: undo, e: exportDecisions};
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('select, input[type=search]')) return;
  if (byId('gallery').hidden) return; // what is decided must be seen
  const act = keys[event.key.toLowerCase()];
  if (act) { event.preventDefault(); act(); }
});

// ---- start ----
byId('title').textContent = document.title = data.title;
const categories = [...new Set(data.masks.map(mask => mask.category))].sort();
byId('category').append(...categories.map(name => element('option', {value: '=' + name}, name || 'without one')));
if (!data.masks.length) byId('nothing').textContent = 'There is no mask to review.';
if (data.leftOut) {
  byId('left-out').textContent = `Not on this page: ${counted(data.leftOut)} that could not be used or are never refined, such as crowds; summary.json has the reasons.`;
  byId('left-out').hidden = false;
}
document.body.classList.toggle('has-truth', data.masks.some(mask => mask.truth));
for (const id of ['sort', 'verdict', 'category', 'size', 'rising']) byId(id).addEventListener('change', arrange);
byId('search').addEventListener('input', arrange);
byId('controls').addEventListener('submit', event => event.preventDefault());
byId('layers').addEventListener('change', event => document.body.classList.toggle('show-' + event.target.value, event.target.checked));
byId('filter').addEventListener('click', () =>
  byId('filter').setAttribute('aria-expanded', String(document.body.classList.toggle('filtering'))));
byId('undo').addEventListener('click', undo);
byId('export').addEventListener('click', exportDecisions);
byId('view-masks').addEventListener('click', () => view('masks'));
byId('view-images').addEventListener('click', () => view('images'));
arrange();
