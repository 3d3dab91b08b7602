"""runs: the files of runs, what is in them and where they are.

records   every setting and the content of every file, with type, range, default, unit and meaning; presets/ and schemas/ belong to it
weights   arrays as JSON or safetensors, bit for bit, and back from files of unknown origin
disk      atomic writes, locks, and an error of one sentence for everything that can go wrong
store     the workspace: reading, writing and finding the files of runs; run_files has their names and places
sources  corpus  tokens  prepare  encodings      texts of any size -> token ids
fetch     training texts from the network or from other programs on this machine
formats   models of other programs
To add a setting, add one line to Config in records; to add a field of a report, one line to Report. Then renew the schemas:
`littlebaby catalog --all`.
"""
