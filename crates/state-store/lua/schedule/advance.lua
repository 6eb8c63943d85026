-- schedule/advance: pushes the jobs of a firing and records it, if nobody else has done it.
-- KEYS    those of keys.lua, 15 schedules, 16 schedule_names (sorted sets)
-- ARGV    1 clock, 2 shape, 3 '', 4 number of jobs, 5.. of each job: kind, number (1), delay (0),
--         positions; id; record; then name, expected version and since (16 and 15 digits), the new
--         since (15 digits), due (15 digits) or '', jobs and missed (4 and 6 digits), identity of
--         this call (16 bytes), packed id of the last job or '', next time (ms) or ''
-- Returns 'shape' and the recorded one or '' | 'advanced' | 'superseded' | 'early': not yet due
-- Retry   recognised by the identity as long as nobody advances the schedule again
-- Cost    7 commands and 1 per priority, O(bytes + log n) with n schedules; to hand the jobs over
--         those of a push
-- needs: hand_over, publish, repair
if interrupted then repair(interrupted) end
hand_over(last_fence)
publish()
return { 'advanced' }
