"""The plans from a shell: `littlebaby PLAN --any_setting VALUE ...`. A command is a few lines around the plan of the same name.

answers         what a command returns, and what is printed where
options         the options: every setting, and those of all commands; the layout of the help
run_commands    train, finetune, inference, chat, evaluate, delete, info, list
tool_commands   fetch, nursery, pack, prepare, preflight, bench, import, export, check, microscope, walk, diary, catalog
main            words -> exit code, and the sentences for words that are no command
"""
from .main import main

__all__ = ["main"]
