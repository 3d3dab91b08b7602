"""Package 7: numbers as pictures, tables, pages and widgets. Nothing is computed here; the numbers come from the packages below.

catalog card charts modelcard progress    tables of the variants, a run as text and as a chart, the progress of a running one
estimate_tables laws_report pages         preflight and bench as text; docs/laws.md; docs/variants
microscope features causes walk diary     pages about a baby, a layer's features, causes, a variant and several runs
comparison comparison_pictures rate_search sweep_progress    many runs in one table, learning rates
html formatting                           the pieces of these pages
panel panel_*                             the panel of a notebook and its parts
variant_pictures tour tour_pictures       pictures of variants; helpers and drawings of the tour's notebooks
generated                                 the generated files of a clone and their current contents
"""
