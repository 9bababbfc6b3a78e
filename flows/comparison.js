// The comparison page: draws what is chosen from the data that stands in the page.
(function () {
  'use strict';
  var data = JSON.parse(document.getElementById('data').textContent);
  var COLOURS = ['#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#B8A800',
    '#52606D', '#8C510A', '#5E3C99'];
  var SYMBOLS = {pv: 'circle', wind: 'triangle-up', storage: 'square', dispatchable: 'diamond',
    sop: 'hexagon', replacement: 'cross', switch: 'x', line: 'line-ew-open'};
  var state = {terms: [], hidden: {}, base: data.base, stage: data.stages.length - 1,
    detail: data.base, sort: null, up: true, percent: false};
  var byId = function (id) { return document.getElementById(id); };
  var narrow = function () { return window.innerWidth < 640; };

  function number(v, digits) {
    if (v === null || v === undefined || !isFinite(v)) { return '–'; }
    var size = Math.abs(v);
    if (size !== 0 && size < 1e-4) { return v.toExponential(1); }
    var places = size >= 1000 || size === 0 ? 0
      : Math.max(0, (digits || 4) - 1 - Math.floor(Math.log10(size)));
    return v.toFixed(Math.min(places, 6)).replace(/\B(?=(\d{3})+(?!\d))/g,
      function (m, g, at, all) { return all.indexOf('.') >= 0 && at > all.indexOf('.') ? '' : '\u202f'; });
  }
  function short(name) {
    var most = narrow() ? 16 : 42;
    return name.length > most ? name.slice(0, most - 1) + '…' : name;
  }
  function shown() {
    var found = [];
    data.cases.forEach(function (name, k) {
      var low = name.toLowerCase();
      if (!state.hidden[k] && state.terms.every(function (t) { return low.indexOf(t) >= 0; })) {
        found.push(k);
      }
    });
    if (state.sort !== null) {
      var values = state.sort < 0 ? data.cases : data.metrics[state.sort].values;
      found.sort(function (a, b) {
        var x = values[a], y = values[b];
        if (x === y) { return a - b; }
        if (x === null) { return 1; }
        if (y === null) { return -1; }
        return (x < y ? -1 : 1) * (state.up ? 1 : -1);
      });
    }
    return found;
  }
  function matching() {
    return data.cases.map(function (_, k) { return k; }).filter(function (k) {
      var low = data.cases[k].toLowerCase();
      return state.terms.every(function (t) { return low.indexOf(t) >= 0; });
    });
  }
  function element(tag, text, attributes) {
    var made = document.createElement(tag);
    if (text !== null) { made.textContent = text; }
    Object.keys(attributes || {}).forEach(function (k) { made.setAttribute(k, attributes[k]); });
    return made;
  }

  // ---------------------------------------------------------------- the table
  function table() {
    var head = element('tr', null), body = element('tbody', null), visible = shown();
    head.appendChild(element('th', 'Show', {scope: 'col'}));
    [{label: 'Case', unit: ''}].concat(data.metrics).forEach(function (metric, k) {
      var cell = element('th', null, {scope: 'col', 'class': k ? 'n' : ''});
      var text = metric.label + (metric.unit ? ', ' + metric.unit : '');
      var sorted = state.sort === k - 1;
      var button = element('button', text + (sorted ? (state.up ? ' ▲' : ' ▼') : ''),
        {type: 'button', 'data-sort': k - 1, title: 'Sort by ' + metric.label});
      cell.setAttribute('aria-sort', sorted ? (state.up ? 'ascending' : 'descending') : 'none');
      cell.appendChild(button);
      head.appendChild(cell);
    });
    var left = matching().filter(function (k) { return state.hidden[k]; });
    visible.concat(left).forEach(function (k) {
      var row = element('tr', null, k === state.base ? {'class': 'base'} : {});
      var box = element('input', null, {type: 'checkbox', 'data-case': k,
        'aria-label': 'Show ' + data.cases[k]});
      box.checked = !state.hidden[k];
      var first = element('td', null);
      first.appendChild(box);
      row.appendChild(first);
      row.appendChild(element('th', data.cases[k] + (k === state.base ? ' (base)' : ''),
        {scope: 'row', 'class': 'long'}));
      data.metrics.forEach(function (metric) {
        var cell = element('td', number(metric.values[k]), {'class': 'n'});
        var v = metric.values[k], base = metric.values[state.base];
        if (k !== state.base && v !== null && base !== null) {
          var less = v - base;
          var text = state.percent && base ? number(100 * less / Math.abs(base), 3) + ' %'
            : number(less);
          var kind = !less || !metric.better ? '' : (less < 0) === (metric.better === 'low')
            ? ' good' : ' bad';
          cell.appendChild(element('span', (less > 0 ? '+' : '') + text, {'class': 'less' + kind}));
        }
        row.appendChild(cell);
      });
      body.appendChild(row);
    });
    var made = element('table', null), top = element('thead', null);
    made.appendChild(element('caption', 'Cases; small: difference to the base'));
    top.appendChild(head);
    made.appendChild(top);
    made.appendChild(body);
    byId('cases').replaceChildren(made);
    byId('count').textContent = visible.length + ' of ' + data.cases.length + ' cases are shown';
  }
  function csv() {
    var quote = function (v) { return '"' + String(v).replace(/"/g, '""') + '"'; };
    var lines = [['case'].concat(data.metrics.map(function (m) {
      return m.key + (m.unit ? ' [' + m.unit + ']' : ''); })).map(quote).join(',')];
    shown().forEach(function (k) {
      lines.push([quote(data.cases[k])].concat(data.metrics.map(function (m) {
        return m.values[k] === null ? '' : m.values[k]; })).join(','));
    });
    var link = element('a', null, {download: 'comparison.csv',
      href: URL.createObjectURL(new Blob([lines.join('\r\n') + '\r\n'], {type: 'text/csv'}))});
    link.click();
    URL.revokeObjectURL(link.href);
  }

  // ---------------------------------------------------------------- the pictures
  var CONFIG = {displaylogo: false, responsive: true, plotlyServerURL: '', displayModeBar: 'hover',
    toImageButtonOptions: {format: 'png', scale: 2},
    modeBarButtons: [['toImage', 'zoom2d', 'pan2d', 'resetScale2d']]};
  function draw(id, traces, layout) {
    var base = {margin: {l: 60, r: 12, t: 8, b: 48}, font: {size: narrow() ? 11 : 13},
      paper_bgcolor: 'white', plot_bgcolor: 'white', hovermode: 'closest',
      legend: {orientation: 'h', y: narrow() ? -0.32 : -0.22}, autosize: true};
    Object.keys(layout).forEach(function (k) { base[k] = layout[k]; });
    CONFIG.toImageButtonOptions.filename = id;
    Plotly.react(byId(id), traces, base, CONFIG);
  }
  function caseAxis(order) {
    return {tickvals: order.map(function (_, i) { return i; }),
      ticktext: order.map(function (k) { return short(data.cases[k]); }),
      autorange: 'reversed', automargin: true, fixedrange: order.length < 30};
  }
  function barsByCase(id, parts, unit) {
    var order = shown(), rows = order.map(function (_, i) { return i; });
    var traces = parts.filter(function (part) {
      return order.some(function (k) { return part.values[k]; });
    }).map(function (part) {
      return {type: 'bar', orientation: 'h', name: part.name, y: rows,
        x: order.map(function (k) { return part.values[k]; }), marker: {color: part.colour},
        text: order.map(function (k) { return data.cases[k]; }), textposition: 'none',
        hovertemplate: '%{text}<br>' + part.name + ': %{x:,.4g} ' + unit + '<extra></extra>'};
    });
    draw(id, traces, {barmode: 'relative', height: 150 + 24 * order.length, yaxis: caseAxis(order),
      xaxis: {title: {text: unit}}, legend: {orientation: 'h', y: 1.02, yanchor: 'bottom'},
      margin: {l: 20, r: 12, t: 40, b: 48}});
  }
  function costs() {
    barsByCase('costs', data.items.map(function (item, k) {
      return {name: item.label, values: item.total, colour: COLOURS[k % COLOURS.length]};
    }), data.cost_unit);
  }
  function years() {
    var k = state.detail, labels = data.years.map(function (y) { return y + data.first_year[k] - 1; });
    var there = data.years.map(function (_, y) {
      return data.items.some(function (item) { return item.by_year[k][y] !== null; }); });
    var traces = data.items.map(function (item, n) {
      return {type: 'bar', name: item.label, marker: {color: COLOURS[n % COLOURS.length]},
        x: labels.filter(function (_, y) { return there[y]; }),
        y: item.by_year[k].filter(function (_, y) { return there[y]; })};
    }).filter(function (t) { return t.y.some(function (v) { return v; }); });
    draw('years', traces, {barmode: 'relative', height: 380, yaxis: {title: {text: 'EUR'}},
      xaxis: {dtick: 1, title: {text: 'year'}}});
  }
  function stages() {
    var metric = data.stage_metrics[byId('stage-metric').value], order = shown();
    var labels = data.stages.map(function (s) { return 'stage ' + s; });
    if (labels.length === 1) {
      barsByCase('stages', [{name: metric.label, colour: COLOURS[0],
        values: metric.values.map(function (of) { return of[0]; })}],
      metric.label + (metric.unit ? ', ' + metric.unit : ''));
      return;
    }
    draw('stages', order.map(function (k, i) {
      return {type: 'scatter', mode: 'lines+markers', name: short(data.cases[k]), x: labels,
        y: metric.values[k], line: {color: COLOURS[i % COLOURS.length],
          dash: ['solid', 'dash', 'dot'][Math.floor(i / COLOURS.length) % 3]},
        hovertemplate: data.cases[k] + '<br>%{x}: %{y:.5g} ' + metric.unit + '<extra></extra>'};
    }), {height: 400, showlegend: order.length <= 12,
      yaxis: {title: {text: metric.label + (metric.unit ? ', ' + metric.unit : '')}}});
  }
  function gains() {
    if (!data.participants.length) { return; }
    barsByCase('gains', data.participants.map(function (one, k) {
      return {name: one.name, colour: COLOURS[k % COLOURS.length],
        values: one.saving.map(function (of) { return of[state.stage]; })};
    }), 'EUR/a');
  }
  function pareto() {
    var mx = data.metrics[byId('pareto-x').value], my = data.metrics[byId('pareto-y').value];
    var sign = function (m) { return m.better === 'high' ? -1 : 1; };
    var order = shown().filter(function (k) { return mx.values[k] !== null && my.values[k] !== null; });
    var best = order.filter(function (k) {
      return !order.some(function (o) {
        var dx = (mx.values[o] - mx.values[k]) * sign(mx), dy = (my.values[o] - my.values[k]) * sign(my);
        return dx <= 0 && dy <= 0 && (dx < 0 || dy < 0); });
    }).sort(function (a, b) { return mx.values[a] - mx.values[b]; });
    function points(of, name, colour, mode) {
      return {type: 'scatter', mode: mode, name: name, x: of.map(function (k) { return mx.values[k]; }),
        y: of.map(function (k) { return my.values[k]; }), marker: {size: 11, color: colour},
        line: {color: colour, dash: 'dot'},
        text: of.map(function (k) { return order.length > 25 ? '' : short(data.cases[k]); }),
        customdata: of.map(function (k) { return data.cases[k]; }), textposition: 'top center',
        hovertemplate: '%{customdata}<br>%{x:.5g} ' + mx.unit + ', %{y:.5g} ' + my.unit + '<extra></extra>'};
    }
    var rest = order.filter(function (k) { return best.indexOf(k) < 0; });
    var texts = narrow() || order.length > 25 ? '' : '+text';
    draw('pareto', [points(rest, 'beaten in both', '#9AA5B1', 'markers' + texts),
      points(best, 'not beaten', '#0072B2', 'lines+markers' + texts)], {height: 440,
      xaxis: {title: {text: mx.label + (mx.unit ? ', ' + mx.unit : '')}, automargin: true},
      yaxis: {title: {text: my.label + (my.unit ? ', ' + my.unit : '')}, automargin: true}});
  }
  function map() {
    var net = data.network, k = state.detail, s = Math.min(state.stage, data.stages.length - 1);
    if (!net) { return; }
    var at = {}, colours = {}, traces = [], lines = {x: [], y: []}, open = {x: [], y: []};
    net.bus.forEach(function (bus, i) { at[bus] = i; });
    data.owners.forEach(function (name, i) { colours[name] = COLOURS[i % COLOURS.length]; });
    net.from.forEach(function (_, i) {
      var to = net.closed[i] ? lines : open, a = at[net.from[i]], b = at[net.to[i]];
      to.x.push(net.x[a], net.x[b], null);
      to.y.push(net.y[a], net.y[b], null);
    });
    traces.push({type: 'scatter', mode: 'lines', x: lines.x, y: lines.y, name: 'line',
      line: {color: '#9AA5B1', width: 2}, hoverinfo: 'skip'});
    traces.push({type: 'scatter', mode: 'lines', x: open.x, y: open.y, name: 'open line',
      line: {color: '#CBD2D9', width: 1, dash: 'dot'}, hoverinfo: 'skip'});
    var vm = data.bus_vm ? data.bus_vm[k][s] : null;
    traces.push({type: 'scatter', mode: 'markers', x: net.x, y: net.y, name: 'bus',
      marker: {size: 6, color: '#52606D'}, showlegend: false,
      text: net.bus.map(function (bus, i) { return 'bus ' + bus + (vm && vm[i] !== null
        ? '<br>lowest voltage ' + vm[i].toFixed(4) + ' p.u.' : ''); }),
      hovertemplate: '%{text}<extra></extra>'});
    var place = {}, listed = [], groups = {};
    data.candidates.forEach(function (c, n) {
      var units = data.units[k][s][n];
      if (!units) { return; }
      listed.push(c.name + ' (' + number(units, 3) + ')');
      var text = c.name + '<br>' + c.technology + ', ' + number(units, 3) + ' units, ' + c.owner;
      var line = net.line.indexOf(c.line);
      if (c.line >= 0 && line >= 0) {
        var a = at[net.from[line]], b = at[net.to[line]];
        traces.push({type: 'scatter', mode: 'lines', x: [net.x[a], net.x[b]], y: [net.y[a], net.y[b]],
          name: c.name, showlegend: false, line: {color: colours[c.owner], width: 4, dash: 'dash'},
          text: [text, text], hovertemplate: '%{text}<extra></extra>'});
      } else if (at[c.bus] !== undefined) {
        var nth = place[c.bus] = (place[c.bus] || 0) + 1, key = c.owner;
        groups[key] = groups[key] || {x: [], y: [], text: [], symbol: [], size: []};
        groups[key].x.push(net.x[at[c.bus]] + (nth - 1) * net.step);
        groups[key].y.push(net.y[at[c.bus]] + net.step);
        groups[key].text.push(text);
        groups[key].symbol.push(SYMBOLS[c.technology] || 'star');
        groups[key].size.push(10 + Math.min(10, 2 * units));
      }
    });
    Object.keys(groups).forEach(function (owner) {
      var g = groups[owner];
      traces.push({type: 'scatter', mode: 'markers', x: g.x, y: g.y, name: owner, text: g.text,
        hovertemplate: '%{text}<extra></extra>',
        marker: {symbol: g.symbol, size: g.size, color: colours[owner], line: {width: 1, color: 'white'}}});
    });
    draw('map', traces, {height: narrow() ? 380 : 460, xaxis: {visible: false},
      yaxis: {visible: false, range: net.range},
      margin: {l: 8, r: 8, t: 8, b: 8}});
    byId('built').textContent = data.cases[k] + ', stage ' + data.stages[s] + ': '
      + (listed.join(', ') || 'nothing is built') + '.';
  }
  var turn = 0;
  function inTurn(pictures, mine) {  // the table is there at once, the pictures follow
    if (mine !== turn || !pictures.length) { return; }
    pictures[0]();
    setTimeout(function () { inTurn(pictures.slice(1), mine); }, 0);
  }
  function all() {
    var mine = turn += 1;
    table();
    setTimeout(function () { inTurn([costs, map, years, stages, gains, pareto], mine); }, 0);
  }
  function detail() { years(); map(); }

  // ---------------------------------------------------------------- the controls
  function options(id, names, chosen) {
    byId(id).replaceChildren.apply(byId(id), names.map(function (name, k) {
      var made = element('option', name, {value: k});
      made.selected = k === chosen;
      return made;
    }));
  }
  byId('stage').parentNode.hidden = data.stages.length === 1;
  options('base', data.cases, state.base);
  options('detail', data.cases, state.detail);
  options('stage', data.stages.map(function (s) { return 'stage ' + s; }), state.stage);
  options('stage-metric', data.stage_metrics.map(function (m) { return m.label; }), 0);
  var labels = data.metrics.map(function (m) { return m.label; });
  options('pareto-x', labels, data.pareto[0]);
  options('pareto-y', labels, data.pareto[1]);
  var waiting = 0;
  byId('filter').addEventListener('input', function (e) {
    state.terms = e.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    clearTimeout(waiting);
    table();
    waiting = setTimeout(all, 150);
  });
  byId('base').addEventListener('change', function (e) { state.base = +e.target.value; table(); });
  byId('detail').addEventListener('change', function (e) { state.detail = +e.target.value; detail(); });
  byId('stage').addEventListener('change', function (e) { state.stage = +e.target.value; gains(); map(); });
  byId('percent').addEventListener('change', function (e) { state.percent = e.target.checked; table(); });
  byId('stage-metric').addEventListener('change', stages);
  byId('pareto-x').addEventListener('change', pareto);
  byId('pareto-y').addEventListener('change', pareto);
  byId('csv').addEventListener('click', csv);
  byId('cases').addEventListener('click', function (e) {
    var button = e.target.closest('button[data-sort]');
    if (!button) { return; }
    var k = +button.dataset.sort;
    state.up = state.sort === k ? !state.up : true;
    state.sort = k;
    all();
    byId('cases').querySelector('button[data-sort="' + k + '"]').focus();
  });
  byId('cases').addEventListener('change', function (e) {
    if (e.target.dataset.case === undefined) { return; }
    var k = +e.target.dataset.case;
    state.hidden[k] = !e.target.checked;
    all();
    var again = byId('cases').querySelector('input[data-case="' + k + '"]');
    if (again) { again.focus(); }
  });
  all();
})();
