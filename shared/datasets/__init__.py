"""Public data sets as their owners ship them, and what is made of them for a study."""
