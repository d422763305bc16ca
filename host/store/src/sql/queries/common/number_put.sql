-- number_put
INSERT INTO host_numbers (name, value)
?rows(t i)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
