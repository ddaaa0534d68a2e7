%% Runs scenarios against real supervisors of OTP and writes what happened: see random.ts beside it.
-module(scenarios).
-behaviour(supervisor).
-compile(export_all).
-compile(nowarn_export_all).

main([In, Out]) ->
    logger:set_primary_config(level, none),
    {ok, Scs} = file:consult(In),
    {ok, F} = file:open(Out, [write]),
    [begin R = run(S), io:format(F, "~s~n", [R]) end || S <- Scs],
    file:close(F), halt(0).

log(E) -> N = ets:update_counter(st, seq, 1), ets:insert(st, {{log, N}, E}).
inc(P) -> ets:update_counter(st, {att, P}, 1, {{att, P}, 0}).

run({Root, Ops}) ->
    process_flag(trap_exit, true),
    ets:new(st, [named_table, public, ordered_set]),
    ets:insert(st, {seq, 0}),
    Start = step(fun() ->
        case (catch supervisor:start_link(?MODULE, Root)) of
            {ok, P} -> N = inc("root"), ets:insert(st, {{pid, "root"}, P}), ets:insert(st, {root, P}),
                log(["start root#", i(N)]), "ok:root#1";
            {error, _} -> inc("root"), log("fail root#1 x"), "error:start_failed"
        end end),
    Res = [step(fun() -> op(O) end) || O <- Ops],
    Stop = step(fun() -> stop() end),
    ets:delete(st),
    flush(),
    lists:join("@@", [Start | Res] ++ [Stop]).

flush() -> receive _ -> flush() after 0 -> ok end.
i(N) -> integer_to_list(N).

alive() -> case ets:lookup(st, root) of [{root, P}] -> is_process_alive(P); _ -> false end.

stop() ->
    case alive() of
        false -> "noproc";
        true -> [{root, P}] = ets:lookup(st, root), exit(P, shutdown), receive {'EXIT', P, _} -> ok after 5000 -> timeout end, "shutdown"
    end.

step(F) ->
    ets:match_delete(st, {{log, '_'}, '_'}),
    R = F(),
    quiet(0),
    Evs = [E || [E] <- ets:match(st, {{log, '_'}, '$1'})],
    RootEv = case ets:lookup(st, rootdead) of
        [] -> case ets:lookup(st, root) of
            [{root, P}] -> case is_process_alive(P) of false -> ets:insert(st, {rootdead, true}), ["exit root#1 shutdown"]; true -> [] end;
            [] -> [] end;
        _ -> [] end,
    [R, "||", lists:join(",", Evs ++ RootEv), "||", lists:join(";", tree()), "||", case alive() of true -> "alive"; false -> "over" end].

tree() -> case alive() of false -> []; true -> tree("root") end.
tree(Path) ->
    case ets:lookup(st, {pid, Path}) of
        [{_, P}] ->
            Ch = lists:reverse(supervisor:which_children(P)),
            Words = [word(Path, C) || C <- Ch],
            [[Path, "=", lists:join(" ", Words)] | lists:append([tree(Path ++ "/" ++ Id) || {Id, Pid, supervisor, _} <- Ch, is_pid(Pid)])];
        [] -> []
    end.
word(Path, {Id, Pid, _, _}) when is_pid(Pid) -> [Id, "#", i(ets:lookup_element(st, {att, Path ++ "/" ++ Id}, 2))];
word(_, {Id, restarting, _, _}) -> [Id, "*"];
word(_, {Id, undefined, _, _}) -> [Id, "-"].

%% all supervisors answer, and nothing changed for some rounds
quiet(3) -> ok;
quiet(N) ->
    S1 = ets:lookup_element(st, seq, 2),
    timer:sleep(1),
    (catch settle("root")),
    S2 = ets:lookup_element(st, seq, 2),
    if S1 == S2 -> quiet(N + 1); true -> quiet(0) end.
settle(Path) ->
    case alive() of false -> ok; true ->
        case ets:lookup(st, {pid, Path}) of
            [{_, P}] -> case is_process_alive(P) of
                true -> [settle(Path ++ "/" ++ Id) || {Id, _, supervisor, _} <- supervisor:which_children(P)];
                false -> ok end;
            [] -> ok
        end end.

init({sup, _Id, _Path, Strat, Int, Auto, Children, _R, _Sig}) ->
    {ok, {#{strategy => Strat, intensity => Int, period => 3600, auto_shutdown => Auto}, [spec(C) || C <- Children]}}.

spec({actor, Id, _P, R, Sig, _S} = A) -> #{id => Id, start => {?MODULE, start_actor, [A]}, restart => R, significant => Sig, shutdown => 5000};
spec({sup, Id, _Path, _S, _I, _A, _C, R, Sig} = A) -> #{id => Id, start => {?MODULE, start_sup, [A]}, restart => R, significant => Sig, type => supervisor, shutdown => infinity}.

start_sup({sup, _Id, Path, _, _, _, _, _, _} = S) ->
    N = inc(Path),
    case supervisor:start_link(?MODULE, S) of
        {ok, P} -> ets:insert(st, {{pid, Path}, P}), log(["start ", Path, "#", i(N)]), {ok, P};
        {error, R} -> log(["fail ", Path, "#", i(N), " x"]), {error, R}
    end.

start_actor({actor, _Id, Path, _, _, Script}) ->
    N = inc(Path),
    What = case lists:keyfind(N, 1, Script) of {_, W} -> W; false -> case lists:keyfind(default, 1, Script) of {_, W} -> W; false -> ok end end,
    case What of
        error -> log(["fail ", Path, "#", i(N), " x"]), {error, boom};
        ignore -> log(["ignore ", Path, "#", i(N)]), ignore;
        ok ->
            {ok, Pid} = proc_lib:start_link(?MODULE, actor, [Path, N]),
            ets:insert(st, {{pid, Path}, Pid}), log(["start ", Path, "#", i(N)]), {ok, Pid}
    end.
actor(Path, N) ->
    process_flag(trap_exit, true),
    proc_lib:init_ack({ok, self()}),
    receive
        {'EXIT', _, R} -> log(["exit ", Path, "#", i(N), " shutdown"]), exit(R);
        {die, R} -> log(["exit ", Path, "#", i(N), " ", atom_to_list(R)]), exit(R)
    end.

pid(Path) -> case ets:lookup(st, {pid, Path}) of [{_, P}] -> case is_process_alive(P) of true -> P; false -> none end; [] -> none end.

op({exit, Path, R}) ->
    case pid(Path) of
        none -> "noproc";
        P -> case R of
            kill -> log(["exit ", Path, "#", i(ets:lookup_element(st, {att, Path}, 2)), " killed"]), exit(P, kill);
            _ -> P ! {die, R} end,
            M = monitor(process, P), receive {'DOWN', M, _, _, _} -> ok end, "ok"
    end;
op({start, Path, Spec}) -> call(Path, fun(P) -> Id = element(2, Spec), case supervisor:start_child(P, spec(Spec)) of
        {ok, undefined} -> "ok:undefined";
        {ok, _} -> ["ok:", Path, "/", Id, "#", i(ets:lookup_element(st, {att, Path ++ "/" ++ Id}, 2))];
        {error, {already_started, _}} -> ["error:already_started:", Path, "/", Id, "#", i(ets:lookup_element(st, {att, Path ++ "/" ++ Id}, 2))];
        {error, already_present} -> "error:already_present";
        {error, {bad_combination, _}} -> "error:bad_spec";
        {error, _} -> "error:start_failed" end end);
op({terminate, Path, Id}) -> call(Path, fun(P) -> case supervisor:terminate_child(P, Id) of ok -> "ok"; {error, E} -> ["error:", atom_to_list(E)] end end);
op({restart, Path, Id}) -> call(Path, fun(P) -> case supervisor:restart_child(P, Id) of
        {ok, undefined} -> "ok:undefined";
        {ok, _} -> ["ok:", Path, "/", Id, "#", i(ets:lookup_element(st, {att, Path ++ "/" ++ Id}, 2))];
        {error, E} when is_atom(E), E =/= boom -> ["error:", atom_to_list(E)];
        {error, _} -> "error:start_failed" end end);
op({delete, Path, Id}) -> call(Path, fun(P) -> case supervisor:delete_child(P, Id) of ok -> "ok"; {error, E} -> ["error:", atom_to_list(E)] end end).

call(Path, F) ->
    case alive() andalso pid(Path) of
        P when is_pid(P) -> try F(P) catch exit:_ -> "noproc" end;
        _ -> "noproc"
    end.
