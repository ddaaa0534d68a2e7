%% Very many processes under one supervisor of Erlang/OTP. One JSON line, as the other programs of this folder.
-module(scale).
-behaviour(supervisor).
-export([main/1, init/1, start_child/0, loop/0]).

main([Count]) ->
    N = list_to_integer(Count),
    process_flag(trap_exit, true),
    logger:set_primary_config(level, none),
    {ok, Pool} = supervisor:start_link(?MODULE, pool),
    {ok, Group} = supervisor:start_link(?MODULE, group),
    [supervisor:start_child(Pool, []) || _ <- lists:seq(1, 1000)],
    [supervisor:terminate_child(Pool, P) || {_, P, _, _} <- supervisor:which_children(Pool)],
    erlang:garbage_collect(),
    Before = erlang:memory(total),
    {CreateUs, Pids} = timer:tc(fun() -> [begin {ok, P} = supervisor:start_child(Pool, []), P end || _ <- lists:seq(1, N)] end),
    Bytes = (erlang:memory(total) - Before) / N,
    Victims = lists:sublist(Pids, 2000),
    {RestartUs, _} = timer:tc(fun() ->
        [begin exit(P, kill) end || P <- Victims],
        %% Answered when all of them are up again.
        supervisor:count_children(Pool)
    end),
    {GroupUs, _} = timer:tc(fun() ->
        [begin
            {_, P, _, _} = lists:keyfind(500, 1, supervisor:which_children(Group)),
            exit(P, kill),
            supervisor:count_children(Group)
        end || _ <- lists:seq(1, 10)]
    end),
    {StopUs, _} = timer:tc(fun() -> exit(Pool, shutdown), receive {'EXIT', Pool, _} -> ok end end),
    io:format("{\"createUs\":~p,\"bytes\":~p,\"restartUs\":~p,\"groupMs\":~p,\"stopMs\":~p}~n",
        [CreateUs / N, Bytes, RestartUs / length(Victims), GroupUs / 10 / 1000, StopUs / 1000]),
    halt(0).

init(pool) ->
    {ok, {#{strategy => simple_one_for_one, intensity => 100000, period => 3600},
          [#{id => counter, start => {?MODULE, start_child, []}}]}};
init(group) ->
    {ok, {#{strategy => one_for_all, intensity => 100000, period => 3600},
          [#{id => Id, start => {?MODULE, start_child, []}} || Id <- lists:seq(1, 1000)]}}.

start_child() ->
    {ok, proc_lib:spawn_link(?MODULE, loop, [])}.

loop() ->
    receive stop -> ok end.
