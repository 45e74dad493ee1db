-- Requests of wrk from a file of paths (the first argument), each connection from a place of its own; the method is the second.
local paths = {}
local next_path = 0
local starts = 0

function setup(thread)
	thread:set('start', starts)
	starts = starts + 7919
end

function init(args)
	for line in io.lines(args[1]) do
		paths[#paths + 1] = wrk.format(args[2], line, { ['Content-Length'] = args[2] == 'POST' and '0' or nil, ['User-Agent'] = 'Mozilla/5.0 (bench)' })
	end
	next_path = start
end

function request()
	next_path = next_path % #paths + 1
	return paths[next_path]
end

function done(summary, latency)
	local errors = summary.errors
	io.write(string.format('%.0f %.1f %.1f %d\n', summary.requests * 1000000 / summary.duration, latency:percentile(50) / 1000,
		latency:percentile(99) / 1000, errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
