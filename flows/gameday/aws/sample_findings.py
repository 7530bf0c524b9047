"""GuardDuty's sample findings, in the shape of GetFindings.

Their resources are the ones that all samples have (``i-99999999``, ``GeneratedFinding…``), so that
no one takes them for real.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

# The default severities of "GuardDuty finding types" (GuardDuty User Guide); all else is medium.
_SEVERITIES: Mapping[str, float] = {
    "Backdoor:EC2/C&CActivity.B": 8.0,
    "Backdoor:EC2/C&CActivity.B!DNS": 8.0,
    "Backdoor:EC2/DenialOfService.Tcp": 8.0,
    "CryptoCurrency:EC2/BitcoinTool.B": 8.0,
    "CryptoCurrency:EC2/BitcoinTool.B!DNS": 8.0,
    "Trojan:EC2/DNSDataExfiltration": 8.0,
    "Trojan:EC2/BlackholeTraffic": 5.0,
    "UnauthorizedAccess:EC2/TorClient": 8.0,
    "UnauthorizedAccess:EC2/MetadataDNSRebind": 8.0,
    "UnauthorizedAccess:EC2/MaliciousIPCaller.Custom": 5.0,
    "UnauthorizedAccess:EC2/SSHBruteForce": 2.0,
    "Recon:EC2/PortProbeUnprotectedPort": 2.0,
    "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS": 8.0,
    "UnauthorizedAccess:IAMUser/MaliciousIPCaller": 5.0,
    "CredentialAccess:IAMUser/AnomalousBehavior": 5.0,
    "Exfiltration:IAMUser/AnomalousBehavior": 8.0,
    "Policy:IAMUser/RootCredentialUsage": 2.0,
    "Stealth:IAMUser/CloudTrailLoggingDisabled": 2.0,
    "Discovery:S3/MaliciousIPCaller": 8.0,
    "Exfiltration:S3/MaliciousIPCaller": 8.0,
    "Policy:S3/BucketAnonymousAccessGranted": 8.0,
    "Execution:Kubernetes/ExecInKubeSystemPod": 5.0,
    "Policy:Kubernetes/AdminAccessToDefaultServiceAccount": 8.0,
    "Backdoor:Lambda/C&CActivity.B": 8.0,
    "CryptoCurrency:Lambda/BitcoinTool.B": 8.0,
    "CredentialAccess:RDS/AnomalousBehavior.SuccessfulLogin": 8.0,
}
_MEDIUM = 5.0

SAMPLE_TYPES = tuple(_SEVERITIES)
"""The types of which there is a sample where the call names none; AWS has one of each type."""


def sample_finding(kind: str) -> dict[str, Any]:
    """A sample of a finding type (``Recon:EC2/PortProbeUnprotectedPort``)."""
    about = kind.split(":", 1)[1].split("/", 1)[0]
    resource, action, subject = _OF.get(about, _OF["EC2"])
    title = f"[SAMPLE] {kind.rsplit('/', 1)[1]}: {subject}."
    # "additionalInfo … value", JSON as text, says that it is a sample.
    info = {"threatListName": "GeneratedFindingThreatListName", "sample": True}
    return {
        "Type": kind,
        "Severity": _SEVERITIES.get(kind, _MEDIUM),
        "Title": title,
        "Description": f"{kind}: a sample finding about {subject}.",
        "Resource": copy.deepcopy(dict(resource)),
        "Service": {
            "Action": copy.deepcopy(dict(action)),
            "ResourceRole": "TARGET",
            "AdditionalInfo": {"Value": json.dumps(info), "Type": "default"},
        },
    }


_INSTANCE = {
    "ResourceType": "Instance",
    "InstanceDetails": {
        "InstanceId": "i-99999999",
        "InstanceType": "m3.xlarge",
        "LaunchTime": "2016-08-02T02:05:06Z",
        "ProductCodes": [],
        "IamInstanceProfile": {
            "Arn": "arn:aws:iam::123456789012:example/instance/profile",
            "Id": "GeneratedFindingInstanceProfileId",
        },
        "NetworkInterfaces": [
            {
                "Ipv6Addresses": [],
                "NetworkInterfaceId": "eni-bfcffe88",
                "PrivateDnsName": "GeneratedFindingPrivateDnsName",
                "PrivateIpAddress": "10.0.0.1",
                "PrivateIpAddresses": [
                    {
                        "PrivateDnsName": "GeneratedFindingPrivateName",
                        "PrivateIpAddress": "10.0.0.1",
                    }
                ],
                "SubnetId": "GeneratedFindingSubnetId",
                "VpcId": "GeneratedFindingVPCId",
                "SecurityGroups": [
                    {
                        "GroupName": "GeneratedFindingSecurityGroupName",
                        "GroupId": "GeneratedFindingSecurityId",
                    }
                ],
                "PublicDnsName": "GeneratedFindingPublicDNSName",
                "PublicIp": "198.51.100.0",
            }
        ],
        "Tags": [
            {"Key": "GeneratedFindingInstaceTag1", "Value": "GeneratedFindingInstaceValue1"},
        ],
        "InstanceState": "running",
        "AvailabilityZone": "GeneratedFindingInstaceAvailabilityZone",
        "ImageId": "ami-99999999",
        "ImageDescription": "GeneratedFindingInstaceImageDescription",
    },
}
_ACCESS_KEY = {
    "ResourceType": "AccessKey",
    "AccessKeyDetails": {
        "AccessKeyId": "GeneratedFindingAccessKeyId",
        "PrincipalId": "GeneratedFindingPrincipalId",
        "UserName": "GeneratedFindingUserName",
        "UserType": "IAMUser",
    },
}
_BUCKET = {
    **_ACCESS_KEY,
    "ResourceType": "S3Bucket",
    "S3BucketDetails": [
        {
            "Arn": "arn:aws:s3:::bucketName",
            "Name": "bucketName",
            "Type": "Destination",
            "Owner": {"Id": "CanonicalId of Owner"},
            "Tags": [{"Key": "foo", "Value": "bar"}],
        }
    ],
}
_CLUSTER = {
    "ResourceType": "EKSCluster",
    "EksClusterDetails": {
        "Name": "GeneratedFindingEKSClusterName",
        "Arn": "GeneratedFindingEKSClusterArn",
        "VpcId": "GeneratedFindingEKSClusterVpcId",
        "Status": "ACTIVE",
        "Tags": [],
    },
    "KubernetesDetails": {
        "KubernetesUserDetails": {
            "Username": "GeneratedFindingUserName",
            "Uid": "GeneratedFindingUID",
            "Groups": ["GeneratedFindingUserGroup"],
        },
    },
}
_FUNCTION = {
    "ResourceType": "Lambda",
    "LambdaDetails": {
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:GeneratedFinding",
        "FunctionName": "GeneratedFindingLambdaFunctionName",
        "FunctionVersion": "$LATEST",
        "Role": "arn:aws:iam::123456789012:role/GeneratedFindingRole",
        "Tags": [],
    },
}
_DATABASE = {
    "ResourceType": "RDSDBInstance",
    "RdsDbInstanceDetails": {
        "DbInstanceIdentifier": "GeneratedFindingDBInstanceId",
        "Engine": "Aurora MySQL",
        "EngineVersion": "8.0.mysql_aurora.3.04.0",
        "DbClusterIdentifier": "GeneratedFindingDBClusterId",
        "DbInstanceArn": "arn:aws:rds:us-east-1:123456789012:db:GeneratedFindingDBInstanceId",
        "Tags": [],
    },
    "RdsDbUserDetails": {
        "User": "GeneratedFindingUserName",
        "Application": "GeneratedFindingApplicationName",
        "Database": "GeneratedFindingDatabaseName",
        "Ssl": "OFF",
        "AuthMethod": "PASSWORD",
    },
}

_REMOTE = {
    "IpAddressV4": "198.51.100.0",
    "Organization": {
        "Asn": "-1",
        "AsnOrg": "GeneratedFindingASNOrg",
        "Isp": "GeneratedFindingISP",
        "Org": "GeneratedFindingORG",
    },
    "Country": {"CountryName": "GeneratedFindingCountryName"},
    "City": {"CityName": "GeneratedFindingCityName"},
    "GeoLocation": {"Lat": 0.0, "Lon": 0.0},
}
_CONNECTION = {
    "ActionType": "NETWORK_CONNECTION",
    "NetworkConnectionAction": {
        "ConnectionDirection": "OUTBOUND",
        "LocalIpDetails": {"IpAddressV4": "10.0.0.23"},
        "RemoteIpDetails": _REMOTE,
        "RemotePortDetails": {"Port": 80, "PortName": "HTTP"},
        "LocalPortDetails": {"Port": 39677, "PortName": "Unknown"},
        "Protocol": "TCP",
        "Blocked": False,
    },
}
_API_CALL = {
    "ActionType": "AWS_API_CALL",
    "AwsApiCallAction": {
        "Api": "GeneratedFindingAPIName",
        "CallerType": "Remote IP",
        "RemoteIpDetails": _REMOTE,
        "ServiceName": "GeneratedFindingAPIServiceName",
        "AffectedResources": {},
    },
}
_KUBERNETES_CALL = {
    "ActionType": "KUBERNETES_API_CALL",
    "KubernetesApiCallAction": {
        "RequestUri": "GeneratedFindingRequestURI",
        "Verb": "create",
        "SourceIps": ["198.51.100.0"],
        "StatusCode": 201,
        "RemoteIpDetails": _REMOTE,
    },
}
_LOGIN = {
    "ActionType": "RDS_LOGIN_ATTEMPT",
    "RdsLoginAttemptAction": {"RemoteIpDetails": _REMOTE},
}

# By what a type is about (``EC2`` of ``Recon:EC2/…``): the resource, the action, in words.
_OF: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any], str]] = {
    "EC2": (_INSTANCE, _CONNECTION, "EC2 instance i-99999999"),
    "Runtime": (_INSTANCE, _CONNECTION, "EC2 instance i-99999999"),
    "IAMUser": (_ACCESS_KEY, _API_CALL, "principal GeneratedFindingUserName"),
    "S3": (_BUCKET, _API_CALL, "bucket bucketName"),
    "Kubernetes": (_CLUSTER, _KUBERNETES_CALL, "cluster GeneratedFindingEKSClusterName"),
    "Lambda": (_FUNCTION, _CONNECTION, "function GeneratedFindingLambdaFunctionName"),
    "RDS": (_DATABASE, _LOGIN, "database GeneratedFindingDBInstanceId"),
}
