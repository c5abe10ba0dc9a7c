"""What holds for every test: properties are judged by what they find, not by the clock of a busy machine."""

from hypothesis import settings

settings.register_profile("suite", deadline=None, print_blob=False)
settings.load_profile("suite")
