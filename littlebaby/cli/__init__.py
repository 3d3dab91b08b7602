"""The plans from a shell: `littlebaby PLAN --any_setting VALUE ...`. A command calls the plan of the same name.

answers         what a command returns, and what is printed where
help            the help: settings by section, with the values that the command would use
options         the options: every setting, and those of all commands
run_commands    train, finetune, inference, chat, evaluate, delete, info, list
steering_commands   direction, features
sweep_commands  sweep, compare, find_rate
tool_commands   fetch, nursery, pack, prepare, preflight, bench, import, export, check, microscope, cause, walk, diary, tour, catalog
main            runs a command line, returns the exit code; the errors for unknown commands and options
"""
from .main import main

__all__ = ["main"]
