// The comparison page: what is chosen, the table, the controls.
var data = JSON.parse(byId('data').textContent), COLOURS = data.colours;
var state = {terms: [], hidden: {}, base: data.base, stage: -1, detail: data.detail, sort: null,
  up: true, percent: false, differ: false};

function matching() {
  return data.cases.map(function (_, k) { return k; }).filter(function (k) {
    var low = data.cases[k].toLowerCase();
    return state.terms.every(function (t) { return low.indexOf(t) >= 0; });
  });
}
function called(k) {
  return data.cases[k] + (k === state.base && data.cases[k] !== 'base' ? ' (base)' : '');
}
function valueOf(metric, k) {
  return metric.stages && state.stage >= 0 ? metric.stages[k][state.stage] : metric.values[k];
}
function shown() {
  var found = matching().filter(function (k) { return !state.hidden[k]; });
  if (state.sort !== null) {
    var of = state.sort < 0 ? function (k) { return data.cases[k]; }
      : function (k) { return valueOf(data.metrics[state.sort], k); };
    found.sort(function (a, b) {
      var x = of(a), y = of(b);
      if (x === y) { return a - b; }
      if (x === null) { return 1; }
      if (y === null) { return -1; }
      return (x < y ? -1 : 1) * (state.up ? 1 : -1);
    });
  }
  return found;
}

// ------------------------------------------------------------------------------------ the table
function difference(metric, k) {
  var v = valueOf(metric, k), base = valueOf(metric, state.base);
  if (k === state.base || !known(v) || !known(base)) { return ''; }
  var less = Math.abs(v - base) <= 1e-9 * Math.abs(base) ? 0 : v - base;
  if (state.percent && base === 0 && less) { return tag('span', {'class': 'less'}, 'base is 0'); }
  var words = state.percent ? signed(100 * less / (Math.abs(base) || 1), 3) + '\u00a0%'
    : signed(less * metric.scale, 3);
  var kind = !less || !metric.better ? ''
    : (less < 0) === (metric.better === 'low') ? ' good' : ' bad';
  return tag('span', {'class': 'less' + kind}, less ? words : '=');
}
function columns() {
  return data.metrics.map(function (_, n) { return n; }).filter(function (n) {
    return !state.differ || data.cases.some(function (_, k) {
      return valueOf(data.metrics[n], k) !== valueOf(data.metrics[n], 0); });
  });
}
function table() {
  var visible = shown(), left = matching().filter(function (k) { return state.hidden[k]; });
  var of = columns();
  var head = '<th scope="col">Show</th>' + [-1].concat(of).map(function (n) {
    var sorted = state.sort === n, words = n < 0 ? 'Case' : titled(data.metrics[n]);
    return tag('th', {scope: 'col', 'class': n < 0 ? '' : 'n',
      'aria-sort': sorted ? (state.up ? 'ascending' : 'descending') : 'none'},
    tag('button', {type: 'button', 'data-sort': n, title: 'Sort by ' + words},
      esc(words) + (sorted ? (state.up ? ' ▲' : ' ▼') : '')));
  }).join('');
  var body = visible.concat(left).map(function (k) {
    var kind = (k === state.base ? 'base ' : '') + (k === state.detail ? 'detail ' : '')
      + (state.hidden[k] ? 'off' : '');
    return tag('tr', {'class': kind}, '<td>' + tag('input', {type: 'checkbox', 'data-case': k,
      'aria-label': 'Show ' + data.cases[k], checked: state.hidden[k] ? null : ''}) + '</td>'
      + tag('th', {scope: 'row', 'class': 'long'}, esc(called(k))
        + (data.exact[k] ? '' : '<span class="less bad">AC power flow does not confirm it</span>'))
      + of.map(function (n) {
      var metric = data.metrics[n], v = valueOf(metric, k);
      return '<td class="n">' + number(known(v) ? v * metric.scale : v) + difference(metric, k) + '</td>';
    }).join(''));
  }).join('');
  byId('cases').innerHTML = tag('table', {}, tag('caption', {}, '<span>Cases; small: difference to '
    + esc(data.cases[state.base]) + (state.stage < 0 ? '' : '; ' + esc(data.stage_labels[state.stage])) + '</span>')
    + tag('thead', {}, tag('tr', {}, head)) + tag('tbody', {}, body));
  byId('count').textContent = visible.length + ' of ' + data.cases.length + ' cases are shown';
  cards(visible);
}
function cards(visible) {  // the best case of each number that matters and differs
  var wanted = ['npc_eur', 'eac_eur_per_year', 'eens_mwh_per_year', 'loss_mwh_per_year',
    'emission_t_per_year', 'gain_eur_per_year'];
  var present = data.metrics.some(function (m) {
    return m.key === 'npc_eur' && visible.every(function (k) { return known(m.values[k]); }); });
  byId('cards').innerHTML = data.metrics.filter(function (m) {
    return wanted.indexOf(m.key) >= 0 && m.better; }).map(function (metric) {
    var order = visible.filter(function (k) { return known(valueOf(metric, k)); });
    order.sort(function (a, b) {
      return (valueOf(metric, a) - valueOf(metric, b)) * (metric.better === 'low' ? 1 : -1) || a - b; });
    var best = order[0], base = valueOf(metric, state.base);
    if (order.length < 2 || valueOf(metric, best) === valueOf(metric, order[order.length - 1])
      || present && metric.key === 'eac_eur_per_year') { return ''; }
    var v = valueOf(metric, best), share = known(base) && base ? 100 * (v - base) / Math.abs(base) : 0;
    return tag('dl', {'class': 'card'}, tag('dt', {}, esc((metric.better === 'low' ? 'Lowest ' : 'Highest ')
      + metric.label.charAt(0).toLowerCase() + metric.label.slice(1))) + tag('dd', {'class': 'value'}, esc(withUnit(number(v * metric.scale), metric.unit)))
      + tag('dd', {'class': 'more'}, esc(called(best) + (share ? ', ' + signed(share, 2) + ' % to the base' : ''))));
  }).join('');
}
function csv() {  // the numbers as they are stored, without scaling
  var quote = function (v) { return '"' + String(v).replace(/"/g, '""') + '"'; };
  var lines = [['case'].concat(data.metrics.map(function (m) {
    return m.key + (m.raw_unit ? ' [' + m.raw_unit + ']' : ''); })).map(quote).join(',')];
  shown().forEach(function (k) {
    lines.push([quote(data.cases[k])].concat(data.metrics.map(function (m) {
      var v = valueOf(m, k);
      return known(v) ? v : ''; })).join(','));
  });
  download('comparison.csv', new Blob([lines.join('\r\n') + '\r\n'], {type: 'text/csv'}));
}

// --------------------------------------------------------------------------------- the controls
function pictures() { costs(); details(); stages(); gains(); pareto(); }
function all() { table(); pictures(); }
function options(id, names, values, chosen) {
  byId(id).innerHTML = names.map(function (name, k) {
    return tag('option', {value: values[k], selected: values[k] === chosen ? '' : null}, esc(name));
  }).join('');
}
function on(id, kind, act) {
  byId(id).addEventListener(kind, function (e) { act(e.target); });
}
function counted(names) { return names.map(function (_, k) { return k; }); }
function chooseDetail(k) {
  state.detail = k;
  byId('detail').value = k;
  table();
  details();
  stages();
  pareto();
}
function start() {
  var labels = data.metrics.map(function (m) { return m.label; }), waiting = 0;
  options('base', data.cases, counted(data.cases), state.base);
  options('detail', data.cases, counted(data.cases), state.detail);
  options('stage', ['all years'].concat(data.stage_labels), [-1].concat(counted(data.stages)), -1);
  byId('stage').parentNode.hidden = data.stages.length === 1;
  options('pareto-x', labels, counted(labels), data.pareto[0]);
  options('pareto-y', labels, counted(labels), data.pareto[1]);
  on('filter', 'input', function (field) {
    state.terms = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    clearTimeout(waiting);
    table();
    waiting = setTimeout(pictures, 150);
  });
  on('base', 'change', function (field) { state.base = +field.value; all(); });
  on('detail', 'change', function (field) { chooseDetail(+field.value); });
  on('stage', 'change', function (field) { state.stage = +field.value; table(); details(); gains(); });
  on('percent', 'change', function (field) { state.percent = field.checked; table(); });
  on('differ', 'change', function (field) { state.differ = field.checked; table(); });
  on('costs-less', 'change', costs);
  byId('money').parentNode.hidden = !data.items[0].worth;
  on('money', 'change', details);
  if (data.network) {
    byId('map-colour').parentNode.hidden = data.stages.length === 1;
    on('map-colour', 'change', details);
  }
  on('pareto-x', 'change', pareto);
  on('pareto-y', 'change', pareto);
  byId('csv').addEventListener('click', csv);
  byId('cases').addEventListener('click', function (e) {
    var button = e.target.closest('button[data-sort]');
    if (!button) { return; }
    var n = +button.dataset.sort;
    state.up = state.sort === n ? !state.up : true;
    state.sort = n;
    all();
    byId('cases').querySelector('button[data-sort="' + n + '"]').focus();
  });
  byId('cases').addEventListener('change', function (e) {
    var k = e.target.dataset.case;
    if (k === undefined) { return; }
    state.hidden[k] = !e.target.checked;
    all();
    var again = byId('cases').querySelector('input[data-case="' + k + '"]');
    if (again) { again.focus(); }
  });
  document.addEventListener('click', function (e) {
    var mark = e.target.closest('svg [data-case]'), save = e.target.closest('button[data-save]');
    if (mark) { chooseDetail(+mark.getAttribute('data-case')); }
    if (save) {
      var id = save.dataset.save, whose = byId(id.split('-')[0] + '-name');
      savePicture(id, save.dataset.title + (whose ? ': ' + whose.textContent : ''), LEGENDS[id] || []);
    }
  });
  watchPointer();
  var width = innerWidth;
  addEventListener('resize', function () {
    if (innerWidth === width) { return; }
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(pictures, 150);
  });
  all();
  performance.mark('drawn');
}
start();
