-- number_put
INSERT INTO host_numbers (name, value)
?rows(t i)
ON DUPLICATE KEY UPDATE value = VALUES(value)
