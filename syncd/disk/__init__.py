"""All of syncd that touches the linked folder on the local disk.

It knows paths, signatures and bytes, and nothing of servers: what is to be done comes from the
planner, what was seen goes to it. `folder` is the one way in: whatever is made, renamed or
removed goes through open directories, never through a symlink.
"""
