"""The study of search strategies: what each finds, against random networks trained alike (`make study`)."""
