"""`python -m tests.support.fuzz`."""

from tests.support.fuzz.fuzzer import main

if __name__ == "__main__":
    main()
