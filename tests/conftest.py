"""What every test shares: nothing yet but the rule that tests run offline."""
