"""What people look at: numbers as pictures, tables, pages and widgets. Prediction and proof live in check/.

catalog card charts modelcard progress    tables made from the files, a run in words and pictures, a run as it goes by
estimate_tables laws_report pages         preflight and bench as text; docs/laws.md; docs/variants
microscope walk diary                     pages about a baby, a layer, several runs; html and formatting are what they are written with
panel panel_fields panel_html panel_live  the panel of a notebook and its parts
variant_pictures tour                     pictures of variants; helpers of the tour's notebooks
generated                                 which files of a clone are made from others, and what belongs into each
"""
