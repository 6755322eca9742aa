"""Whose model. Vendors behind one streaming port."""
