"""DynamoDB: conditional writes, as locks need them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Verdicts, check

_TABLE, _RACERS, _ROUNDS = "locks", 16, 5
_FREE = "attribute_not_exists(k)"


def _table(account: Account) -> Any:
    dynamodb = account("dynamodb")
    dynamodb.create_table(
        TableName=_TABLE,
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    dynamodb.get_waiter("table_exists").wait(
        TableName=_TABLE, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return dynamodb


@check("dynamodb", "conditional writes")
def _conditions(account: Account, seen: Verdicts) -> None:
    dynamodb = _table(account)
    key = {"k": {"S": "i-1"}}

    def lock() -> Any:
        return dynamodb.put_item(
            TableName=_TABLE,
            Item={**key, "owner": {"S": "a"}, "exp": {"N": "10"}},
            ConditionExpression=f"{_FREE} OR exp < :now",
            ExpressionAttributeValues={":now": {"N": "5"}},
        )

    seen.done("an item is put where there is none", lock)
    seen.refused("where there is one", "ConditionalCheckFailedException", lock)
    found: Any = None
    try:
        dynamodb.put_item(
            TableName=_TABLE,
            Item=key,
            ConditionExpression=_FREE,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        found = error.response.get("Item")
    seen.holds("the refusal brings the item that is there", found is not None, found)
    counted = seen.done(
        "an item is counted up under a condition",
        lambda: dynamodb.update_item(
            TableName=_TABLE,
            Key=key,
            UpdateExpression="SET n = if_not_exists(n, :z) + :o",
            ExpressionAttributeValues={":z": {"N": "0"}, ":o": {"N": "1"}, ":a": {"S": "a"}},
            ExpressionAttributeNames={"#o": "owner"},
            ConditionExpression="#o = :a",
            ReturnValues="UPDATED_NEW",
        )["Attributes"],
    )
    seen.holds("from what it was", counted == {"n": {"N": "1"}}, counted)
    puts = [
        {"Put": {"TableName": _TABLE, "Item": {"k": {"S": k}}, "ConditionExpression": _FREE}}
        for k in ("i-2", "i-1")
    ]
    seen.refused(
        "a transaction of which one condition fails",
        "TransactionCanceledException",
        lambda: dynamodb.transact_write_items(TransactItems=puts),
    )
    left = dynamodb.get_item(TableName=_TABLE, Key={"k": {"S": "i-2"}})
    seen.holds("and leaves nothing behind", "Item" not in left, left)
    seen.done(
        "items can expire",
        lambda: dynamodb.update_time_to_live(
            TableName=_TABLE,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": "exp"},
        ),
    )
    streams = seen.done(
        "streams are listed", lambda: account("dynamodbstreams").list_streams()["Streams"]
    )
    seen.holds("with that of the table", len(streams or []) == 1, streams)


@check("dynamodb", "racing writes")
def _races(account: Account, seen: Verdicts) -> None:
    dynamodb = _table(account)

    def put(racer: int) -> int:
        try:
            dynamodb.put_item(
                TableName=_TABLE,
                Item={"k": {"S": "race"}, "o": {"N": str(racer)}},
                ConditionExpression=_FREE,
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return 0
        return 1

    winners = []
    with ThreadPoolExecutor(_RACERS) as pool:
        for _ in range(_ROUNDS):
            dynamodb.delete_item(TableName=_TABLE, Key={"k": {"S": "race"}})
            winners.append(sum(pool.map(put, range(_RACERS))))
    seen.holds("of 16 racing conditional puts one wins", winners == [1] * _ROUNDS, winners)
