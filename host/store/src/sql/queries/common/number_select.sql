-- number_select
SELECT name, value FROM host_numbers WHERE name IN (?*)
