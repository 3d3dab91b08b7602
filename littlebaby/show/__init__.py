"""What people look at: numbers as pictures, tables and cards.

catalog: what there is, as tables made from the files themselves. card: a run in words. charts: a run in a picture. preflight: what a run
will cost. laws: the proofs as numbers. progress: a run as it goes by. words: how all of them write numbers.

paper: pages that show themselves. microscope: what happens inside a baby that reads a sentence. walk: a layer line by line, forth and back;
mistakes: what can be planted in it. diary: what became of runs.
"""
