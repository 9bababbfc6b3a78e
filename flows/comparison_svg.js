// Small pictures as SVG: scales, axes, stacked bars, lines, points, legends, and saving as PNG.
var INK = '#1F2933', GREY = '#7B8794', PALE = '#E4E7EB', FONT = 'system-ui, sans-serif';

function byId(id) { return document.getElementById(id); }
function known(v) { return v !== null && v !== undefined && isFinite(v); }
function esc(text) {
  return String(text).replace(/[&<>"]/g, function (c) {
    return {'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;'}[c];
  });
}
function attributes(of) {
  return Object.keys(of).map(function (k) {
    return of[k] === null ? '' : ' ' + k + '="' + esc(of[k]) + '"';
  }).join('');
}
function tag(name, of, inner) {
  return '<' + name + attributes(of) + '>' + (inner || '') + '</' + name + '>';
}
function number(v, digits) {
  if (!known(v)) { return '–'; }
  var size = Math.abs(v), sign = v < 0 ? '−' : '';
  if (size === 0) { return '0'; }
  if (size < 1e-5 || size >= 1e12) { return sign + size.toExponential(1).replace('e+', 'e'); }
  var places = Math.max(0, Math.min(7, (digits || 4) - 1 - Math.floor(Math.log10(size) + 1e-9)));
  var parts = size.toFixed(places).split('.');
  return sign + parts[0].replace(/\B(?=(\d{3})+$)/g, '\u202f') + (parts[1] ? '.' + parts[1] : '');
}
function count(v) { return v === Math.round(v) ? v.toFixed(0) : number(v, 3); }
function signed(v, digits) { return (v > 0 ? '+' : '') + number(v, digits); }
function withUnit(text, unit) { return unit ? text + '\u00a0' + unit : text; }
function shortened(names, most) {  // in the middle, where most of them stay apart
  var best = [], apart = 0;
  [0.45, 0.3, 0.65, 0.15, 0.85].forEach(function (share) {
    var head = Math.round((most - 1) * share), seen = {}, tried = names.map(function (name) {
      return name.length > most ? name.slice(0, head) + '…'
        + name.slice(name.length - (most - 1 - head)) : name; });
    tried.forEach(function (name) { seen[name] = 1; });
    if (Object.keys(seen).length > apart) { best = tried; apart = Object.keys(seen).length; }
  });
  return best;
}
function moneyUnit(largest, unit) {  // so that axes have few digits
  var steps = [[2e6, 1e-6, 'M '], [2e3, 1e-3, 'k '], [0, 1, '']];
  var one = steps.filter(function (s) { return Math.abs(largest) >= s[0]; })[0] || steps[2];
  return {scale: one[1], unit: one[2] + unit};
}

// ------------------------------------------------------------------------------ scales and axes
function ticks(low, high, count) {
  var span = high - low || Math.abs(high) || 1, rough = span / Math.max(count, 1);
  var power = Math.pow(10, Math.floor(Math.log10(rough)));
  var step = [1, 2, 2.5, 5, 10].filter(function (f) { return f * power >= rough * 0.999; })[0] * power;
  var found = [];
  for (var k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) {
    found.push(+(k * step).toPrecision(12));
  }
  var decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  if (Math.abs(step / Math.pow(10, Math.floor(Math.log10(step) + 1e-9)) - 2.5) < 1e-6) { decimals += 1; }
  found.text = function (v) {
    if (Math.abs(v) < step * 1e-6) { return '0'; }
    if (Math.abs(v) >= 1e9 || step < 1e-6) { return v.toExponential(1); }
    var parts = Math.abs(v).toFixed(decimals).split('.');
    return (v < 0 ? '−' : '') + parts[0].replace(/\B(?=(\d{3})+$)/g, '\u202f')
      + (parts[1] ? '.' + parts[1] : '');
  };
  return found;
}
function extent(values, zero) {
  var low = zero ? 0 : Infinity, high = zero ? 0 : -Infinity;
  values.forEach(function (v) {
    if (known(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  });
  if (low > high) { return [0, 1]; }
  if (low === high) {
    var half = Math.abs(low) * 0.05 || 1;
    return zero && low === 0 ? [0, 1] : [low - half, high + half];
  }
  var edge = (high - low) * 0.06;
  return [zero && low === 0 ? 0 : low - edge, zero && high === 0 ? 0 : high + edge];
}
function scale(range, from, to) {
  return function (v) { return from + (v - range[0]) / (range[1] - range[0]) * (to - from); };
}
function text(x, y, words, of) {
  return tag('text', Object.assign({x: x.toFixed(1), y: y.toFixed(1)}, of), esc(words));
}
function line(x1, y1, x2, y2, of) {
  return tag('line', Object.assign({x1: x1.toFixed(1), y1: y1.toFixed(1), x2: x2.toFixed(1),
    y2: y2.toFixed(1)}, of));
}
function axisBelow(at, range, box, title) {
  var of = ticks(range[0], range[1], Math.max(2, Math.floor((box.right - box.left) / 90)));
  return of.map(function (v) {
    return line(at(v), box.top, at(v), box.bottom, {stroke: v === 0 ? GREY : PALE})
      + text(at(v), box.bottom + 16, of.text(v), {'text-anchor': 'middle'});
  }).join('') + text((box.left + box.right) / 2, box.bottom + 34, title, {'text-anchor': 'middle'});
}
function axisLeft(at, range, box, title) {
  var of = ticks(range[0], range[1], Math.max(2, Math.floor((box.bottom - box.top) / 45)));
  return of.map(function (v) {
    return line(box.left, at(v), box.right, at(v), {stroke: v === 0 ? GREY : PALE})
      + text(box.left - 6, at(v) + 4, of.text(v), {'text-anchor': 'end'});
  }).join('') + (title ? text(4, box.top - 8, title, {}) : '');
}
function svg(width, height, inner) {
  return tag('svg', {xmlns: 'http://www.w3.org/2000/svg', viewBox: '0 0 ' + width + ' ' + height,
    width: width, height: height, 'font-family': FONT, 'font-size': 12, fill: INK,
    'aria-hidden': 'true', focusable: 'false'},
  tag('rect', {width: width, height: height, fill: 'white'}) + inner);
}
function show(id, width, height, inner) { byId(id).innerHTML = svg(width, height, inner); }
function widthOf(id) { return Math.max(240, Math.floor(byId(id).clientWidth)); }
function legend(entries) {  // in the page, where it wraps, not in the picture
  return tag('ul', {'class': 'legend'}, entries.map(function (one) {
    return tag('li', {}, '<svg width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true">'
      + (one.mark || tag('rect', {x: -6, y: -6, width: 12, height: 12, fill: one.colour}))
      + '</svg>' + esc(one.name));
  }).join(''));
}

// ------------------------------------------------------------------------------------ the marks
// One bar a row, its parts side by side: those above zero to the right, those below to the left.
function stackedRows(id, names, parts, options) {
  var width = widthOf(id), many = names.length > 30, rowHeight = many ? 15 : 26;
  var most = width < 560 ? 15 : 34, longest = 0, labels = shortened(names, most);
  names.forEach(function (name) { longest = Math.max(longest, Math.min(most, name.length)); });
  var box = {left: 14 + longest * 6.6, right: width - (options.totals ? 74 : 16), top: 6};
  box.bottom = box.top + rowHeight * names.length + 4;
  var ends = [];
  names.forEach(function (_, row) {
    var up = 0, down = 0;
    parts.forEach(function (part) {
      var v = part.values[row] || 0;
      if (v > 0) { up += v; } else { down += v; }
    });
    ends.push(up, down);
  });
  var range = extent(ends, true), at = scale(range, box.left, box.right), inner = '';
  names.forEach(function (name, row) {
    var y = box.top + row * rowHeight + 2, up = 0, down = 0, total = 0;
    if (options.marked === row) {
      inner += tag('rect', {x: 0, y: y - 1, width: width, height: rowHeight - 1, fill: '#E8F1F8'});
    }
    inner += text(box.left - 8, y + rowHeight / 2 + 2, labels[row],
      {'text-anchor': 'end', 'font-size': many ? 11 : 12, 'data-tip': name});
    parts.forEach(function (part) {
      var v = part.values[row];
      if (!known(v) || v === 0) { return; }
      var from = v > 0 ? up : down, to = from + v;
      if (v > 0) { up = to; } else { down = to; }
      total += v;
      inner += tag('rect', {x: Math.min(at(from), at(to)).toFixed(1), y: y,
        width: Math.max(Math.abs(at(to) - at(from)), 0.3).toFixed(1), height: rowHeight - 5,
        fill: part.colour, 'data-case': options.cases[row],
        'data-tip': name + '\n' + part.name + ': ' + withUnit(number(v), options.unit)});
    });
    if (options.totals) {
      inner += line(at(total), y - 1, at(total), y + rowHeight - 4, {stroke: INK, 'stroke-width': 2})
        + text(width - 4, y + rowHeight / 2 + 2, (options.signed ? signed : number)(total),
          {'text-anchor': 'end', 'font-weight': 600, 'font-size': many ? 11 : 12});
    }
  });
  show(id, width, box.bottom + 42, axisBelow(at, range, box, options.unit) + inner);
}
// One bar a year, its parts on top of each other.
function stackedColumns(id, labels, parts, options) {
  var width = widthOf(id), box = {left: 52, right: width - 8, top: 26, bottom: 210};
  var at = scale(options.range, box.bottom, box.top), step = (box.right - box.left) / labels.length;
  var every = Math.ceil(34 / step), inner = axisLeft(at, options.range, box, options.unit);
  labels.forEach(function (label, n) {
    var up = 0, down = 0, x = box.left + n * step + step * 0.14;
    parts.forEach(function (part) {
      var v = part.values[n];
      if (!known(v) || v === 0) { return; }
      var from = v > 0 ? up : down, to = from + v;
      if (v > 0) { up = to; } else { down = to; }
      inner += tag('rect', {x: x.toFixed(1), y: Math.min(at(from), at(to)).toFixed(1),
        width: (step * 0.72).toFixed(1), height: Math.abs(at(to) - at(from)).toFixed(1),
        fill: part.colour,
        'data-tip': label + '\n' + part.name + ': ' + withUnit(number(v), options.unit)});
    });
    if (n % every === 0) {
      inner += text(x + step * 0.36, box.bottom + 18, label, {'text-anchor': 'middle'});
    }
  });
  show(id, width, 234, inner);
}
var SHAPES = {pv: 'M-6,0A6,6 0 1,0 6,0A6,6 0 1,0 -6,0Z', wind: 'M0,-6.5L6.5,5.5H-6.5Z',
  storage: 'M-5.5,-5.5H5.5V5.5H-5.5Z', storage_energy: 'M-5.5,-3H5.5V3H-5.5Z',
  dispatchable: 'M0,-7L6,0L0,7L-6,0Z', sop: 'M-6.5,0L-3.2,-5.6H3.2L6.5,0L3.2,5.6H-3.2Z',
  'switch': 'M-6,-3.6L-3.6,-6L0,-2.4L3.6,-6L6,-3.6L2.4,0L6,3.6L3.6,6L0,2.4L-3.6,6L-6,3.6L-2.4,0Z',
  other: 'M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z'};
function shape(technology, x, y, colour, solid, tip) {
  return tag('path', {d: SHAPES[technology] || SHAPES.other, 'data-tip': tip || null,
    transform: 'translate(' + x.toFixed(1) + ',' + y.toFixed(1) + ')',
    fill: solid ? colour : 'white', stroke: solid ? 'white' : colour, 'stroke-width': solid ? 1 : 2});
}

// ------------------------------------------------------------------- what the pointer stands on
function watchPointer() {
  var tip = byId('tip');
  document.addEventListener('pointermove', function (e) {
    var over = e.target.closest ? e.target.closest('[data-tip]') : null;
    tip.hidden = !over;
    if (!over) { return; }
    tip.textContent = over.getAttribute('data-tip');
    var width = tip.offsetWidth, left = Math.min(e.clientX + 14, innerWidth - width - 8);
    tip.style.left = Math.max(4, left) + 'px';
    tip.style.top = Math.max(4, e.clientY - tip.offsetHeight - 12) + 'px';
  });
}
function savePicture(id, title, entries) {  // with its title and legend, which the page has beside
  var drawn = byId(id).querySelector('svg'), image = new Image(), sharper = 2;
  if (!drawn) { return; }
  var size = drawn.viewBox.baseVal, x = 10, y = 44, marks = '';
  var inner = Array.from(drawn.childNodes, function (one) {  // innerHTML would not be XML
    return new XMLSerializer().serializeToString(one); }).join('');
  entries.forEach(function (one) {
    var wide = 30 + one.name.length * 7;
    if (x + wide > size.width && x > 10) { x = 10; y += 20; }
    marks += tag('g', {transform: 'translate(' + (x + 7) + ',' + (y - 4) + ')'}, one.mark
      || tag('rect', {x: -6, y: -6, width: 12, height: 12, fill: one.colour}))
      + text(x + 18, y, one.name, {});
    x += wide;
  });
  var above = y + 12, whole = svg(size.width, size.height + above,
    text(10, 20, title, {'font-weight': 600, 'font-size': 14}) + marks
    + tag('g', {transform: 'translate(0,' + above + ')'}, inner));
  image.onload = function () {
    var sheet = document.createElement('canvas');
    sheet.width = size.width * sharper;
    sheet.height = (size.height + above) * sharper;
    sheet.getContext('2d').drawImage(image, 0, 0, sheet.width, sheet.height);
    sheet.toBlob(function (blob) { download(id + '.png', blob); });
  };
  image.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(whole);
}
function download(name, blob) {
  var link = document.createElement('a');
  link.download = name;
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
}
