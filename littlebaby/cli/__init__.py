"""The plans from a shell: `littlebaby PLAN --any_setting VALUE ...`. A command calls the plan of the same name.

answers         the answer of a command, and printing
options         an option for every setting, the options of all commands, the layout of the help
run_commands    train, finetune, inference, chat, evaluate, delete, info, list
tool_commands   fetch, nursery, pack, prepare, preflight, bench, import, export, check, microscope, walk, diary, catalog
main            runs a command line, returns the exit code; the errors for unknown commands and options
"""
from .main import main

__all__ = ["main"]
