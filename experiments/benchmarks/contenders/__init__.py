"""Who is measured: our loop, other libraries, and what torch's own products allow; no benchmark itself."""
