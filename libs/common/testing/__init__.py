"""What the tests of every service use."""
