"""runs: what a run is on paper, and where it lies.

records   every setting and every file's content, with type, range, default, unit and meaning; presets/ and schemas/ belong to it
weights   arrays as JSON or safetensors, exact, and back again from files that strangers may have written
disk      whole files or none: written aside, then renamed; locks; what went wrong, in one sentence
store     the workspace: which file of which run lies where
Add a setting: one line in records' Config. Add a field to a report: one line in Report. Then write the schemas anew.
"""
