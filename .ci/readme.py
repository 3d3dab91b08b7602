"""Print a command of the README: the line of a fenced block that follows <!-- command: NAME -->"""
import re
import sys
from pathlib import Path

text = Path(__file__).parents[1].joinpath("README.md").read_text()
print(re.search(rf"<!-- command: {sys.argv[1]} -->\s*```\w*\n(.*?)\n```", text, re.S).group(1))
