"""The example to copy: a folder makes the agent. Its words, tools and knowledge are the files beside this one."""
