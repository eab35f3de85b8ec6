"""The command line `casdav`: one file per noun, over the public names of cas and dav."""
