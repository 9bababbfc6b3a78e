"""Our tables in a pandapower net: declared once, made, checked, read and carried along here.

`schema` says what a column is, `tables` declares ours and reads them, `create` and `attributes`
write rows, `validate` (with `rules`) finds what is wrong, `references` follows references,
`toolbox` (with `reindex` and `select_and_merge`) drops, renumbers, fuses, selects and merges,
`library` opens a net by name.
"""
