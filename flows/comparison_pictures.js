// The pictures of the comparison page: what of the data each shows. `state` says what is chosen.
var LEGENDS = {};  // of each picture, for those that are saved

function caseColour(k, many) {
  if (k === state.base) { return INK; }
  if (many) { return k === state.detail ? COLOURS[0] : '#C3CBD4'; }
  return COLOURS[k % COLOURS.length];
}
function weightedMean(values, k) {  // over the years of the stages of a case
  var sum = 0, years = 0;
  values.forEach(function (v, s) {
    if (known(v)) { sum += v * data.stage_years[k][s]; years += data.stage_years[k][s]; }
  });
  return years ? sum / years : null;
}
function ofStage(values, k) {
  return state.stage < 0 ? weightedMean(values, k) : values[state.stage];
}
function putLegend(id, entries) {
  LEGENDS[id] = entries;
  byId(id + '-legend').innerHTML = legend(entries);
}
function used(parts) {
  return parts.filter(function (part) { return part.values.some(function (v) { return v; }); });
}
function rowsOfCases(id, parts, order, unit, options) {
  var largest = 0;
  order.forEach(function (_, row) {
    var size = 0;
    parts.forEach(function (part) { size += Math.abs(part.values[row] || 0); });
    largest = Math.max(largest, size);
  });
  var money = moneyUnit(largest, unit);
  parts = used(parts).map(function (part) {
    return {name: part.name, colour: part.colour, values: part.values.map(function (v) {
      return known(v) ? v * money.scale : null; })};
  });
  stackedRows(id, order.map(function (k) { return data.cases[k]; }), parts, Object.assign({
    unit: money.unit, totals: true, cases: order, marked: order.indexOf(state.base)}, options));
  putLegend(id, parts);
}

function costs() {
  var order = shown(), less = byId('costs-less').checked;
  rowsOfCases('costs', data.items.map(function (item) {
    return {name: item.label, colour: item.colour, values: order.map(function (k) {
      return less ? (item.total[k] || 0) - (item.total[state.base] || 0) : item.total[k]; })};
  }), order, data.cost_unit, {signed: less});
}
function gains() {
  if (!data.participants.length) { return; }
  var order = shown();
  rowsOfCases('gains', data.participants.map(function (one, n) {
    return {name: one.name, colour: COLOURS[n % COLOURS.length], values: order.map(function (k) {
      return ofStage(one.saving[k], k); })};
  }), order, 'EUR/a', {});
}

// ------------------------------------------------------------------------ two cases side by side
function details() {
  var both = state.detail === state.base ? [state.base] : [state.base, state.detail];
  byId('second').hidden = both.length < 2;
  byId('pair').classList.toggle('single', both.length < 2);
  var ends = [], stacks = both.map(function (k) { return yearsOf(k, ends); });
  var range = extent(ends, true), money = moneyUnit(Math.max(-range[0], range[1]), 'EUR');
  range = range.map(function (v) { return v * money.scale; });
  both.forEach(function (k, n) {
    var of = ['first', 'second'][n];
    byId(of + '-name').textContent = called(k);
    if (data.network) { map(of + '-map', k); }
    stackedColumns(of + '-years', stacks[n].labels, stacks[n].parts.map(function (part) {
      return {name: part.name, colour: part.colour, values: part.values.map(function (v) {
        return known(v) ? v * money.scale : null; })};
    }), {unit: money.unit, range: range});
    LEGENDS[of + '-years'] = used(stacks[n].parts);
    LEGENDS[of + '-map'] = data.network ? mapLegend() : [];
  });
  byId('years-legend').innerHTML = legend(LEGENDS['first-years']);
  if (data.network) { byId('map-legend').innerHTML = legend(mapLegend()); }
  built(both);
}
function yearsOf(k, ends) {
  var worth = byId('money').value === 'worth' && data.items[0].worth;
  var of = function (item) { return worth ? item.worth[k] : item.by_year[k]; };
  var there = data.years.map(function (_, n) { return n; }).filter(function (n) {
    return data.items.some(function (item) { return known(of(item)[n]); }); });
  there.forEach(function (n) {
    var up = 0, down = 0;
    data.items.forEach(function (item) {
      var v = of(item)[n] || 0;
      if (v > 0) { up += v; } else { down += v; }
    });
    ends.push(up, down);
  });
  return {labels: there.map(function (n) {
    return data.several[k] ? String(data.years[n] + data.first_year[k] - 1) : 'a year'; }),
  parts: data.items.map(function (item) {
    return {name: item.label, colour: item.colour,
      values: there.map(function (y) { return of(item)[y]; })};
  })};
}
function ownerColour(name) { return COLOURS[data.owners.indexOf(name) % COLOURS.length]; }
function byYears() { return data.stages.length > 1 && byId('map-colour').value === 'years'; }
function mapColour(k, n) {  // of a candidate: the years of its first purchase, or its owner
  if (!byYears()) { return ownerColour(data.candidates[n].owner); }
  var first = 0;
  while (first < data.stages.length - 1 && !data.bought[k][first][n]) { first += 1; }
  return COLOURS[first % COLOURS.length];
}
function mapLegend() {
  var technologies = {}, entries = byYears() ? data.stage_labels.map(function (words, s) {
    return {name: 'first bought ' + words, colour: COLOURS[s % COLOURS.length]}; })
    : data.owners.map(function (name) { return {name: name, colour: ownerColour(name)}; });
  data.candidates.forEach(function (c) { if (c.line < 0) { technologies[c.technology] = 1; } });
  Object.keys(technologies).forEach(function (name) {
    entries.push({name: data.technologies[name] || name, mark: shape(name, 0, 0, GREY, true)}); });
  if (data.candidates.some(function (c) { return c.line >= 0; })) {
    entries.push({name: 'line or tie built', mark: line(-7, 0, 7, 0, {stroke: GREY, 'stroke-width': 4,
      'stroke-dasharray': '4 2'})});
  }
  if (data.network.sops.length) {
    entries.push({name: 'soft open point that is there',
      mark: shape('sop', 0, 0, data.network.sop_colour, true)});
  }
  if (state.stage > 0) {
    entries.push({name: 'filled: bought then', mark: shape('pv', 0, 0, GREY, true)},
      {name: 'hollow: stands already', mark: shape('pv', 0, 0, GREY, false)});
  }
  return entries;
}
function map(id, k) {
  var net = data.network, s = state.stage < 0 ? data.stages.length - 1 : state.stage, at = {};
  while (s > 0 && !known(data.units[k][s][0])) { s -= 1; }  // a case may have fewer stages
  var width = widthOf(id), wide = net.right - net.left || 1, high = net.top - net.bottom;
  var height = Math.max(190, Math.min(400, width * high / wide)), inner = '', stacked = {};
  var x = scale([net.left, net.right], 26, width - 26), y = scale([net.bottom, net.top],
    height - 26, high ? 62 : height - 60);
  if (!high) { y = function () { return height / 2; }; }
  net.bus.forEach(function (bus, i) { at[bus] = i; });
  function way(n, of) {
    var a = at[net.from[n]], b = at[net.to[n]];
    return line(x(net.x[a]), y(net.y[a]), x(net.x[b]), y(net.y[b]), of);
  }
  net.from.forEach(function (_, n) {
    inner += way(n, net.closed[n] ? {stroke: '#9AA5B1', 'stroke-width': 2}
      : {stroke: '#9AA5B1', 'stroke-width': 1, 'stroke-dasharray': '2 4'});
  });
  net.sops.forEach(function (one) {  // those that are there, built or not
    var tip = one.name + '\nsoft open point between the buses ' + one.buses.join(', ');
    one.buses.forEach(function (bus) {
      inner += line(x(net.x[at[bus]]), y(net.y[at[bus]]), x(one.x), y(one.y),
        {stroke: net.sop_colour, 'stroke-width': 2, 'data-tip': tip});
    });
    inner += shape('sop', x(one.x), y(one.y), net.sop_colour, true, tip);
  });
  var vm = data.bus_vm ? data.bus_vm[k][s] : [], lowest = -1;
  net.bus.forEach(function (bus, i) {
    var v = vm[i];
    if (known(v) && (lowest < 0 || v < vm[lowest])) { lowest = i; }
    inner += tag('circle', {cx: x(net.x[i]).toFixed(1), cy: y(net.y[i]).toFixed(1), r: 3.5, fill: '#52606D',
      'data-tip': 'bus ' + bus + (known(v) ? '\nlowest voltage ' + (v / 1e4).toFixed(4) + ' p.u.' : '')});
  });
  if (lowest >= 0) {
    var lx = x(net.x[lowest]);
    inner += tag('circle', {cx: lx.toFixed(1), cy: y(net.y[lowest]).toFixed(1), r: 6.5, fill: 'none',
      stroke: INK, 'stroke-width': 1.5}) + text(Math.min(Math.max(lx, 60), width - 60),
      y(net.y[lowest]) + 21, 'lowest ' + (vm[lowest] / 1e4).toFixed(3) + ' p.u.',
      {'text-anchor': 'middle', 'font-size': 11});
  }
  data.candidates.forEach(function (c, n) {
    var units = data.units[k][s][n], fresh = state.stage <= 0 || data.bought[k][s][n] > 0;
    if (!units) { return; }
    var tip = c.name + ' (' + (data.technologies[c.technology] || c.technology) + ', ' + c.owner + ')\n'
      + withUnit(count(units), 'units') + boughtWhen(k, n);
    var nth = net.line.indexOf(c.line);
    if (c.line >= 0 && nth >= 0) {
      inner += way(nth, {stroke: mapColour(k, n), 'stroke-width': fresh ? 5 : 2.5,
        'stroke-dasharray': '9 4', 'data-tip': tip});
    } else if (at[c.bus] !== undefined) {
      var up = stacked[c.bus] = (stacked[c.bus] || 0) + 1;
      inner += shape(c.technology, x(net.x[at[c.bus]]), y(net.y[at[c.bus]]) - 1 - 15 * up,
        mapColour(k, n), fresh, tip);
    }
  });
  show(id, width, Math.round(height), inner);
}
function boughtWhen(k, n) {
  return data.stages.map(function (_, s) {
    var units = data.bought[k][s][n];
    return units ? '\nbought ' + count(units) + ': ' + data.stage_labels[s] : '';
  }).join('');
}
function built(both) {  // the map in words and numbers
  var rows = data.candidates.map(function (c, n) {
    var cells = [], any = false;
    both.forEach(function (k) {
      data.stages.forEach(function (_, s) {
        var units = data.bought[k][s][n];
        any = any || units > 0;
        cells.push(tag('td', {'class': 'n'}, units ? count(units) : '–'));
      });
    });
    return any ? tag('tr', {}, tag('th', {scope: 'row'}, esc(c.name)) + tag('td', {},
      esc(data.technologies[c.technology] || c.technology)) + tag('td', {}, esc(c.owner)) + cells.join('')) : '';
  }).join('');
  var span = String(data.stages.length);
  var head = tag('tr', {}, '<td></td><td></td><td></td>' + both.map(function (k) {
    return tag('th', {scope: 'colgroup', colspan: span, 'class': 'n'}, esc(shortened(data.cases, 40)[k])); }).join(''))
    + tag('tr', {}, ['Investment', 'Technology', 'Owner'].map(function (w) {
      return tag('th', {scope: 'col'}, w); }).join('') + both.map(function () {
      return data.stage_labels.map(function (w) { return tag('th', {scope: 'col', 'class': 'n'}, esc(w)); })
        .join(''); }).join(''));
  byId('built').innerHTML = rows ? tag('table', {}, tag('caption', {}, '<span>Units bought</span>')
    + tag('thead', {}, head) + tag('tbody', {}, rows)) : tag('p', {}, 'Nothing is bought.');
}

// --------------------------------------------------------------- one small picture a number
function stages() {
  var order = shown(), many = order.length > COLOURS.length, one = data.stages.length === 1;
  var last = order.filter(function (k) { return k === state.detail || k === state.base; });
  var drawn = order.filter(function (k) { return last.indexOf(k) < 0; }).concat(last.reverse());
  data.stage_metrics.forEach(function (metric, n) {
    var id = 'stage-' + n, width = widthOf(id), box = {left: 52, right: width - 12, top: 14, bottom: 150};
    var values = [], count = one ? order.length : data.stages.length, inner = '';
    order.forEach(function (k) { values = values.concat(metric.values[k]); });
    var range = extent(values, false), y = scale(range, box.bottom, box.top);
    var x = scale([-0.5, Math.max(count - 0.5, 0.5)], box.left, box.right);
    drawn.forEach(function (k) {
      var colour = caseColour(k, many), top = many && last.indexOf(k) < 0 ? 1 : 2, path = [];
      metric.values[k].forEach(function (v, s) {
        if (!known(v)) { return; }
        var px = x(one ? order.indexOf(k) : s).toFixed(1), py = y(v).toFixed(1);
        path.push(px + ',' + py);
        inner += tag('circle', {cx: px, cy: py, r: top + 1.5, fill: colour, 'data-case': k,
          'data-tip': data.cases[k] + '\n' + (one ? '' : data.stage_labels[s] + ': ')
            + withUnit(number(v), metric.unit)});
      });
      if (path.length > 1) {
        inner = tag('polyline', {points: path.join(' '), fill: 'none', stroke: colour,
          'stroke-width': top, 'stroke-dasharray': k === state.base ? '5 3' : null}) + inner;
      }
    });
    var below = one ? text((box.left + box.right) / 2, box.bottom + 18, 'cases in the order of the table',
      {'text-anchor': 'middle'}) : data.stages.map(function (_, s) {
      return text(x(s), box.bottom + 18, data.stage_labels[s], {'text-anchor': 'middle'}); }).join('');
    show(id, width, 176, axisLeft(y, range, box, '') + below + inner);
  });
  var entries = (many ? last.slice().reverse() : order).map(function (k) {
    return {name: called(k), colour: caseColour(k, many)}; });
  if (many) { entries.push({name: 'the others', colour: '#C3CBD4'}); }
  byId('stages-legend').innerHTML = legend(entries);
  data.stage_metrics.forEach(function (_, n) { LEGENDS['stage-' + n] = entries; });
}

function pareto() {
  var mx = data.metrics[byId('pareto-x').value], my = data.metrics[byId('pareto-y').value];
  var sign = function (m) { return m.better === 'high' ? -1 : 1; };
  var order = shown().filter(function (k) { return known(mx.values[k]) && known(my.values[k]); });
  var best = order.filter(function (k) {
    return !order.some(function (o) {
      var dx = (mx.values[o] - mx.values[k]) * sign(mx), dy = (my.values[o] - my.values[k]) * sign(my);
      return dx <= 0 && dy <= 0 && (dx < 0 || dy < 0); });
  }).sort(function (a, b) { return mx.values[a] - mx.values[b]; });
  var width = widthOf('pareto'), box = {left: 64, right: width - 24, top: 28, bottom: 370};
  var rx = extent(order.map(function (k) { return mx.values[k] * mx.scale; }), false);
  var ry = extent(order.map(function (k) { return my.values[k] * my.scale; }), false);
  var x = scale(rx, box.left, box.right), y = scale(ry, box.bottom, box.top), taken = [];
  var names = shortened(data.cases, width < 560 ? 16 : 32);
  function at(k) { return [x(mx.values[k] * mx.scale), y(my.values[k] * my.scale)]; }
  function place(k) {  // a name where none stands yet
    var p = at(k), name = names[k], long = name.length * 6.6;
    var spots = [[p[0] + 9, p[1] + 4, 'start'], [p[0] - 9, p[1] + 4, 'end'], [p[0], p[1] - 10, 'middle'],
      [p[0], p[1] + 19, 'middle']];
    for (var n = 0; n < spots.length; n += 1) {
      var s = spots[n], left = s[2] === 'start' ? s[0] : s[2] === 'end' ? s[0] - long : s[0] - long / 2;
      var area = [left, s[1] - 11, left + long, s[1] + 3];
      if (left > box.left && left + long < width && !taken.some(function (o) {
        return area[0] < o[2] && o[0] < area[2] && area[1] < o[3] && o[1] < area[3]; })) {
        taken.push(area);
        return text(s[0], s[1], name, {'text-anchor': s[2], 'font-weight': k === state.base ? 600 : 400});
      }
    }
    return '';
  }
  order.forEach(function (k) { var p = at(k); taken.push([p[0] - 5, p[1] - 5, p[0] + 5, p[1] + 5]); });
  var inner = best.length > 1 ? tag('polyline', {points: best.map(function (k) { return at(k).join(','); })
    .join(' '), fill: 'none', stroke: COLOURS[0], 'stroke-dasharray': '3 3', 'stroke-width': 2}) : '';
  order.forEach(function (k) {
    var p = at(k), good = best.indexOf(k) >= 0;
    inner += tag('circle', {cx: p[0].toFixed(1), cy: p[1].toFixed(1), r: 6,
      fill: good ? COLOURS[0] : '#9AA5B1', stroke: k === state.base ? INK : 'white',
      'stroke-width': k === state.base ? 3 : 1, 'data-case': k, 'data-tip': data.cases[k] + '\n' + mx.label
        + ': ' + withUnit(number(mx.values[k] * mx.scale), mx.unit) + '\n' + my.label + ': '
        + withUnit(number(my.values[k] * my.scale), my.unit)});
  });
  var named = [state.base, state.detail].concat(best, order.length <= 25 ? order : []);
  inner += named.filter(function (k, n) { return named.indexOf(k) === n && order.indexOf(k) >= 0; })
    .map(place).join('');
  show('pareto', width, 416, axisBelow(x, rx, box, titled(mx)) + axisLeft(y, ry, box, titled(my)) + inner);
  putLegend('pareto', [{name: 'no case is better in both', colour: COLOURS[0]},
    {name: 'another case is better', colour: '#9AA5B1'},
    {name: 'base', mark: tag('circle', {r: 5, fill: 'white', stroke: INK, 'stroke-width': 3})}]);
  byId('best').textContent = 'Not beaten: ' + best.map(function (k) { return data.cases[k]; }).join(', ') + '.';
}
function titled(metric) { return metric.label + (metric.unit ? ', ' + metric.unit : ''); }
