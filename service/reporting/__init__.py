"""One page that tells how calls went: `facts` is what it is made of, `log_lines` reads them, `page` writes it."""
